"""HTML: prepared, so that nothing is lost or runs together, then read by unstructured."""

import codecs
import re
from contextlib import suppress
from typing import Any

from lxml import etree

from core.errors import BadRequest
from pipelines.parsing.draft import Draft, clean
from pipelines.parsing.encodings import decode
from pipelines.parsing.html_tables import replace_tables
from pipelines.parsing.marks import Tables, drop_marks, mark_heading
from pipelines.parsing.offline import partition_html

_DECLARED = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE)
_DECLARED_WITHIN = 4096
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_ABSOLUTE = ("http://", "https://", "mailto:")
_MAX_ADDRESS = 200
_PERMALINKS = frozenset("¶§#\N{LINK SYMBOL}\uf0c1")  # a heading's link to itself

_DROPPED = ("script", "style", "template", "noscript", "head", "link", "meta", "svg", "canvas", "datalist", "hr", "object", "del")
_OF_HEADS = frozenset({"title", "meta", "link", "script", "style", "base", "noscript", "template"})
_NAMED = {"iframe": "a page", "embed": "an object", "object": "an object", "audio": "sound", "video": "a film", "canvas": "a drawing"}
_TOO_DEEP = "It is nested too deeply to be read. Make it flatter, or save it as text."

_BLOCKS = frozenset({
    "form", "figure", "details", "main", "fieldset", "dialog", "hgroup", "search", "menu", "address", "section", "article", "aside",
    "header", "footer", "center", "frameset", "noframes",
})  # fmt: skip
_PARAGRAPHS = frozenset({"summary", "figcaption", "legend", "textarea", "option"})
_INLINE = frozenset({
    "label", "button", "select", "optgroup", "output", "font", "ins", "acronym", "nobr", "big", "ruby", "rb", "rt", "rp", "picture",
    "source", "track", "map", "area",
})  # fmt: skip
_PHRASES = frozenset({
    "b", "i", "em", "strong", "abbr", "bdi", "bdo", "cite", "code", "data", "dfn", "kbd", "mark", "meter", "q", "s", "samp", "small",
    "span", "strike", "sub", "sup", "time", "tt", "u", "var", "wbr",
})  # fmt: skip
_KNOWN = _PHRASES | {
    "html", "body", "div", "p", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd",
    "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "colgroup", "col", "img", "math", "a", "br", "nav", "input",
}  # fmt: skip


def read_html(content: bytes, draft: Draft) -> None:
    """A page. Its navigation is left out, and named; what is hidden is left out."""
    add_html(_decode(content), draft)


def add_html(text: str, draft: Draft) -> None:
    """A page or a part of one, into the draft."""
    parser = etree.HTMLParser(remove_comments=True, remove_pis=True)
    text = drop_marks(_XML_DECLARATION.sub("", text)).replace("\0", "")
    if not text.strip():
        return
    try:
        root = etree.fromstring(text, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        message = f"It is not HTML that can be read ({error}). Save it again."
        raise BadRequest(message) from error
    if any("depth" in entry.message.lower() for entry in parser.error_log):
        raise BadRequest(_TOO_DEEP)  # libxml2 leaves out what is deeper, without an error
    if root is None:
        return
    tables = Tables()
    _describe(root, draft)
    _drop(root, draft)
    _rename(root)
    _write_out(root, draft)
    replace_tables(root, tables)
    etree.strip_tags(root, *_PHRASES)  # their text stays: unstructured would look at each by itself
    for element in partition_html(etree.tostring(root, encoding="unicode", method="html")):
        if tables.add(element.text, draft):
            continue
        if element.category == "ListItem":
            draft.add_item(element.text, element.metadata.category_depth or 1)
        elif element.category == "CodeSnippet":
            draft.add_code(element.text)
        else:
            draft.add_text(element.text)


def _decode(content: bytes) -> str:
    """As UTF-8 where it is that, or else as the page declares it: servers say the real encoding elsewhere."""
    declared = _DECLARED.search(content[:_DECLARED_WITHIN])
    if not declared or content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return decode(content)
    if not content.isascii():  # ISO-2022-JP is ASCII
        with suppress(UnicodeDecodeError):
            return content.decode("utf-8")
    with suppress(LookupError, UnicodeError):
        codec = codecs.lookup((declared[1] or declared[2]).decode("ascii", "replace")).name
        return content.decode("cp1252" if codec in {"iso8859-1", "ascii"} else codec)  # as browsers do
    return decode(content)


def _describe(root: Any, draft: Draft) -> None:
    draft.title = draft.title or " ".join("".join(root.xpath("string(//head/title)")).split())
    for found in root.xpath("//meta[@name and @content]"):
        if found.get("name").lower() in {"author", "description", "keywords", "date"}:
            draft.describe(found.get("name").lower(), found.get("content"))


def _drop(root: Any, draft: Draft) -> None:
    """What is no text and what nobody sees; what somebody sees is named."""
    for head in root.iter("head"):  # libxml2 leaves elements of HTML 5 there, where a page has no body tag
        for element in reversed([child for child in head if child.tag not in _OF_HEADS]):
            head.addnext(element)
    for element in root.xpath("//*[@hidden or @style or @role]"):
        role = element.get("role")
        if element.get("hidden") is not None or _HIDDEN.search(element.get("style", "")) or (role == "doc-backlink" and _is_sign(element)):
            element.tag = "template"
        elif role == "navigation":
            element.tag = "nav"
    for element in root.iter(*_NAMED):
        if not element.xpath("ancestor::template"):
            source = element.get("src") or element.get("data") or ""
            draft.miss(f"Left out: {_NAMED[element.tag]} shown in it{f' ({source[:_MAX_ADDRESS]})' if source else ''}.")
    if root.xpath("//nav[not(ancestor::template)]"):
        draft.miss("Left out: its navigation.")
    etree.strip_elements(root, *_DROPPED, "nav", "iframe", "embed", "audio", "video", with_tail=False)


def _is_sign(link: Any) -> bool:
    """An arrow back to where a note is referred to; a heading that leads back to the table of contents has words."""
    return not any(map(str.isalnum, "".join(link.itertext())))


def _rename(root: Any) -> None:
    """What unstructured drops with all that is in it, or does not know, becomes what it reads."""
    for element in list(root.iter()):
        name = element.tag
        if name in _BLOCKS:
            element.tag = "div"
        elif name in _PARAGRAPHS:
            element.tag = "p"
        elif name in _INLINE:
            element.tag = "span"
        elif name not in _KNOWN:
            inline = (element.tail or "").strip() or ((above := element.getparent()) is not None and (above.text or "").strip())
            element.tag = "span" if inline else "div"


def _write_out(root: Any, draft: Draft) -> None:
    """Into the text goes what stands in attributes and in the look only."""
    for element in list(root.iter("h1", "h2", "h3", "h4", "h5", "h6", "sup", "img", "a", "ol", "ul", "input")):
        name = element.tag
        if name == "sup":
            element.text = f"^{(element.text or '').lstrip()}"
        elif name == "img":
            _write_picture(element, draft)
        elif name == "a":
            _write_address(element)
        elif name in {"ol", "ul"}:
            _write_numbers(element)
        elif name == "input":
            element.tag = "span"
            element.text = clean(element.get("value", "")) if element.get("type", "text") in {"text", "number", "date", "email"} else ""
        else:
            element.text = mark_heading(int(name[1])) + (element.text or "")


def _write_picture(element: Any, draft: Draft) -> None:
    described = clean(element.get("alt") or "").strip()
    if described:
        element.text = f"[Image: {described}]"
    elif element.get("alt") is None and element.get("width") not in {"0", "1"}:
        draft.miss("Pictures without a description were left out.")
    element.tag = "span"


def _write_address(element: Any) -> None:
    address = clean(element.get("href") or "").strip()
    text = "".join(element.itertext())
    if address.startswith("#") and text in _PERMALINKS:
        element.text = None
        del element[:]
    if address.startswith(_ABSOLUTE) and len(address) <= _MAX_ADDRESS and address.removeprefix("mailto:") not in text:
        shown = etree.SubElement(element, "span")
        shown.text = f" ({address})"
    element.tag = "span"


def _write_numbers(element: Any) -> None:
    """Numbers of an ordered list; a paragraph that begins an item is the item."""
    said = element.get("start", "")
    number = int(said) if re.fullmatch(r"-?\d{1,9}", said) else 1
    for item in element.iterchildren("li"):
        value = item.get("value", "")
        number = int(value) if re.fullmatch(r"-?\d{1,9}", value) else number
        if not (item.text or "").strip() and len(item) and item[0].tag == "p":
            first = item[0]
            item.text = first.text
            tail = first.tail
            for place, child in enumerate(list(first)):
                item.insert(place, child)
            _add_tail(item, first, tail)
        mark = f"{number}. " if element.tag == "ol" else ""
        item.text = mark + (item.text or "").lstrip()
        number += 1


def _add_tail(item: Any, emptied: Any, tail: str | None) -> None:
    """What followed a paragraph that is taken apart is a paragraph now."""
    emptied.text, emptied.tail = tail, None
    if not (tail or "").strip():
        item.remove(emptied)
