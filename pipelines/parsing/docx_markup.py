"""The XML of Word documents, made plain: what python-docx does not see becomes paragraphs and runs that it does."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from lxml import etree

from pipelines.parsing.draft import Draft

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
NAMES = {
    "w": W,
    "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
    "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
    "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
    "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
    "dgm": "http://schemas.openxmlformats.org/drawingml/2006/diagram",
}
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"


def tag(name: str) -> str:
    """A name of WordprocessingML as lxml has it."""
    return f"{{{W}}}{name}"


_UNWRAPPED = tuple(map(tag, ("ins", "moveTo", "smartTag", "customXml", "fldSimple", "sdt", "sdtContent", "dir", "bdo")))
_DROPPED = tuple(map(tag, ("del", "moveFrom", "sdtPr", "sdtEndPr", "rPrChange", "pPrChange", "instrText")))


def find(element: Any, path: str) -> Any:
    """By XPath, with the prefixes of Office: elements, or a string."""
    return _compiled(path)(element)


@cache  # of paths that are written here
def _compiled(path: str) -> Any:
    return etree.XPath(path, namespaces=NAMES)


def make_run(text: str) -> Any:
    """A run with this text."""
    run = etree.Element(tag("r"))
    shown = etree.SubElement(run, tag("t"))
    shown.text = text
    shown.set(_SPACE, "preserve")
    return run


def make_paragraph(text: str) -> Any:
    """A paragraph with this text."""
    paragraph = etree.Element(tag("p"))
    paragraph.append(make_run(text))
    return paragraph


def text_of(paragraph: Any) -> str:
    """The text of a paragraph, or of all in an element."""
    parts = []
    for element in paragraph.iter(tag("t"), tag("tab"), tag("br"), tag("cr"), tag("noBreakHyphen"), tag("p")):
        name = etree.QName(element).localname
        parts.append({"t": element.text or "", "noBreakHyphen": "-", "tab": "\t"}.get(name, "\n"))
    return "".join(parts).strip()


def insert_before_text(paragraph: Any, run: Any) -> None:
    """First in the paragraph, behind its properties."""
    paragraph.insert(1 if len(paragraph) and paragraph[0].tag == tag("pPr") else 0, run)


def make_plain(body: Any, draft: Draft) -> None:
    """Insertions are in, deletions out; fields, content controls and text boxes are text; pictures are what they are said to show."""
    etree.strip_elements(body, *_DROPPED, with_tail=False)
    for choice in find(body, ".//mc:AlternateContent"):
        _replace(choice, [child for found in find(choice, "./mc:Choice[1]") for child in found] or list(choice))
    etree.strip_tags(body, *_UNWRAPPED)
    for run in find(body, ".//w:r[w:rPr/w:vanish[not(@w:val='0' or @w:val='false')]]"):
        run.getparent().remove(run)
    for formula in [*find(body, ".//m:oMath")]:
        _replace(formula, [make_run("".join(text.text or "" for text in find(formula, ".//m:t")))])
    etree.strip_tags(body, f"{{{NAMES['m']}}}oMathPara")
    _raise_powers(body)
    _describe_pictures(body, draft)
    _take_out_boxes(body)
    _turn_pages(body)


def _replace(element: Any, others: list[Any]) -> None:
    above = element.getparent()
    place = above.index(element)
    above[place : place + 1] = others


def _raise_powers(body: Any) -> None:
    """500¹ is not 5001."""
    for run in find(body, ".//w:r[w:rPr/w:vertAlign/@w:val='superscript'][w:t]"):
        first = run.find(tag("t"))
        first.text = "^" + (first.text or "")


def _describe_pictures(body: Any, draft: Draft) -> None:
    for drawing in find(body, ".//w:drawing"):
        described = next((found.get("descr", "").strip() for found in find(drawing, ".//wp:docPr")), "")
        if described:
            drawing.getparent().addprevious(make_run(f"[Image: {described}]"))
        if find(drawing, ".//c:chart"):
            draft.miss("A chart was left out.")
        elif find(drawing, ".//dgm:relIds"):
            draft.miss("A diagram was left out.")
        elif not described and find(drawing, ".//a:blip"):
            draft.miss("Pictures without a description were left out.")
    if find(body, ".//w:object"):
        draft.miss("Embedded objects were left out.")


def _take_out_boxes(body: Any) -> None:
    """What stands in a text box follows the paragraph that it hangs on."""
    for box in reversed(find(body, ".//w:txbxContent")):
        paragraph = next(box.iterancestors(tag("p")), None)
        if paragraph is not None:
            for block in reversed(list(box)):
                paragraph.addnext(block)


def _turn_pages(body: Any) -> None:
    """Word notes where its pages began; a hard break is one of these, unless Word has noted it."""
    events = list(_iter_page_events(body))
    for (name, element), following in zip(events, [*(name for name, _ in events[1:]), ""], strict=False):
        if name != "hard":
            continue
        if following == "rendered":
            element.getparent().remove(element)
        else:
            element.tag = tag("lastRenderedPageBreak")
            element.attrib.clear()


def _iter_page_events(body: Any) -> Iterator[tuple[str, Any]]:
    for element in body.iter(tag("t"), tag("br"), tag("lastRenderedPageBreak")):
        if element.tag == tag("lastRenderedPageBreak"):
            yield "rendered", element
        elif element.tag == tag("t"):
            if element.text:
                yield "text", element
        elif element.get(tag("type")) == "page":
            yield "hard", element
