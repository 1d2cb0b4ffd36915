"""Word documents: made plain, then read by unstructured."""

import io
import re
import zipfile
from functools import cache
from typing import Any

from docx.opc.exceptions import PackageNotFoundError
from lxml import etree

from core.errors import BadRequest
from pipelines.parsing.delimited import is_header
from pipelines.parsing.docx_markup import find, insert_before_text, make_paragraph, make_plain, make_run, tag, text_of
from pipelines.parsing.draft import Draft
from pipelines.parsing.marks import Tables, drop_heading_marks, drop_marks, mark_heading
from pipelines.parsing.offline import partition_docx

_DOCUMENT = "word/document.xml"
_RELATIONS = "word/_rels/document.xml.rels"
_ABSOLUTE = ("http://", "https://", "mailto:")
_TYPES = "[Content_Types].xml"
# Documents with macros and templates, which python-docx refuses.
_KINDS = re.compile(
    rb"application/vnd\.(?:ms-word\.(?:document|template)\.macroEnabled(?:Template)?"
    rb"|openxmlformats-officedocument\.wordprocessingml\.template)\.main\+xml"
)
_PLAIN_KIND = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_MAX_SPAN = 100
_BODY_LEVEL = 9  # outline levels below are those of headings, from 0
_NOTES = (("footnote", "word/footnotes.xml"), ("endnote", "word/endnotes.xml"), ("comment", "word/comments.xml"))


def read_docx(content: bytes, draft: Draft) -> None:
    """Text as it is with all changes accepted; footnotes and comments follow the paragraphs that they are of."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        try:
            document = _parse(archive, _DOCUMENT)
            styles = _read_styles(archive)
            notes = {kind: _read_notes(archive, kind, path) for kind, path in _NOTES}
            addresses = _read_addresses(archive)
            _read_properties(archive, draft)
        except (etree.XMLSyntaxError, KeyError, ValueError) as error:
            raise BadRequest(_describe(error)) from error
        tables = Tables()
        make_plain(document, draft)
        _add_notes(document, notes)
        _add_addresses(document, addresses)
        _mark_headings(document, styles)
        _replace_tables(document, tables)
        plain = _pack(archive, etree.tostring(document, xml_declaration=True, encoding="UTF-8", standalone=True))
    try:
        elements = partition_docx(plain)
    except (PackageNotFoundError, KeyError, ValueError, AttributeError, etree.XMLSyntaxError) as error:
        raise BadRequest(_describe(error)) from error
    seen: set[str] = set()
    for element in elements:
        draft.page = element.metadata.page_number
        draft.pages = draft.page or draft.pages
        if element.category in {"Header", "Footer"}:  # again with each section
            draft.page = None
            if element.text not in seen:
                draft.add_text(element.text)
            seen.add(element.text)
        elif not tables.add(element.text, draft):
            if element.category == "ListItem":
                draft.add_item(element.text, (element.metadata.category_depth or 0) + 1)
            else:
                draft.add_text(element.text)


def _describe(error: Exception) -> str:
    return f"It is not a document of Word that can be read ({error}). Save it as .docx again."


def _parse(archive: zipfile.ZipFile, path: str) -> Any:
    return etree.fromstring(drop_marks(archive.read(path).decode("utf-8", "replace")).encode(), _make_parser())


def _make_parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)


def _read_styles(archive: zipfile.ZipFile) -> dict[str, int]:
    """Levels of headings by the ids of their styles, also of styles that are derived from them."""
    if "word/styles.xml" not in archive.namelist():
        return {}
    styles = {style.get(tag("styleId")): style for style in find(_parse(archive, "word/styles.xml"), "//w:style[@w:styleId]")}

    @cache
    def level_of(style_id: str, depth: int = 0) -> int:
        style = styles.get(style_id)
        if style is None or depth > len(styles):
            return 0
        name = "".join(find(style, "./w:name/@w:val")).casefold()
        outline = "".join(find(style, "./w:pPr/w:outlineLvl/@w:val"))
        if outline.isdigit():
            return int(outline) + 1 if int(outline) < _BODY_LEVEL else 0
        if name.startswith("heading ") and name[8:].isdigit():
            return int(name[8:])
        if name == "title":
            return 1
        return level_of("".join(find(style, "./w:basedOn/@w:val")), depth + 1)

    return {style_id: level for style_id in styles if (level := level_of(style_id))}


def _read_notes(archive: zipfile.ZipFile, kind: str, path: str) -> dict[str, str]:
    """By id what notes and comments say, which have no separators among them."""
    if path not in archive.namelist():
        return {}
    notes = {}
    for note in find(_parse(archive, path), f"//w:{kind}[not(@w:type) or @w:type='normal']"):
        author = note.get(tag("author"), "")
        text = text_of(note)
        notes[note.get(tag("id"))] = f"{author}: {text}" if author and text else text
    return notes


def _add_notes(document: Any, notes: dict[str, dict[str, str]]) -> None:
    for kind, texts in notes.items():
        paragraphs: dict[Any, list[str]] = {}
        for number, reference in enumerate(find(document, f"//w:{kind}Reference"), 1):
            text = texts.get(reference.get(tag("id")), "")
            paragraph = next(reference.iterancestors(tag("p")), None)
            if text and paragraph is not None:
                shown = f"{kind.capitalize()} {number}"
                paragraphs.setdefault(paragraph, []).append(f"[{shown}: {text}]")
                if kind != "comment":
                    next(reference.iterancestors(tag("r"))).addnext(make_run(f"[{shown}]"))
        for paragraph, said in paragraphs.items():
            for text in reversed(said):
                paragraph.addnext(make_paragraph(text))


def _read_addresses(archive: zipfile.ZipFile) -> dict[str, str]:
    """Where links of the document lead, by the ids of relationships."""
    if _RELATIONS not in archive.namelist():
        return {}
    relations = [relation for relation in _parse(archive, _RELATIONS) if relation.get("TargetMode") == "External"]
    return {relation.get("Id", ""): relation.get("Target", "") for relation in relations}


def _add_addresses(document: Any, addresses: dict[str, str]) -> None:
    for link in find(document, "//w:hyperlink[@r:id]"):
        address = addresses.get(find(link, "string(./@r:id)"), "")
        if address.startswith(_ABSOLUTE) and address.removeprefix("mailto:") not in text_of(link):
            link.append(make_run(f" ({address})"))


def _mark_headings(document: Any, styles: dict[str, int]) -> None:
    for paragraph in document.iter(tag("p")):
        own = "".join(find(paragraph, "./w:pPr/w:outlineLvl/@w:val"))
        level = (
            int(own) + 1 if own.isdigit() and int(own) < _BODY_LEVEL else styles.get("".join(find(paragraph, "./w:pPr/w:pStyle/@w:val")), 0)
        )
        if level and text_of(paragraph):
            insert_before_text(paragraph, make_run(mark_heading(level)))


def _replace_tables(document: Any, tables: Tables) -> None:
    """A table of one cell is a frame around its text; of others a paragraph with a mark stays."""
    for table in reversed(find(document, "//w:tbl")):
        rows = find(table, "./w:tr")
        if len(rows) == 1 and len(find(rows[0], "./w:tc")) == 1:
            for block in find(rows[0], "./w:tc/*[self::w:p or self::w:tbl]"):
                table.addprevious(block)
            table.getparent().remove(table)
            continue
        grid = _fill_spans(rows)
        head_rows = next((place for place, row in enumerate(rows) if not find(row, "./w:trPr/w:tblHeader")), len(rows))
        if not 0 < head_rows < len(grid):
            head_rows = int(is_header(grid))
        header = [" / ".join(dict.fromkeys(filter(None, column))) for column in zip(*grid[:head_rows], strict=True)] if head_rows else []
        table.addprevious(make_paragraph(tables.mark(header, grid[head_rows:])))
        table.getparent().remove(table)


def _fill_spans(rows: list[Any]) -> list[list[str]]:
    """Rows of equal length; a merged cell's text stands in all of its places."""
    grid: list[list[str]] = []
    for row in rows:
        line = [""] * _number(row, "./w:trPr/w:gridBefore/@w:val", 0)
        for cell in find(row, "./w:tc"):
            text = drop_heading_marks(text_of(cell))
            merged = find(cell, "./w:tcPr/w:vMerge[not(@w:val) or @w:val='continue']")
            if merged and grid and len(line) < len(grid[-1]):
                text = grid[-1][len(line)]
            line.extend([text] * _number(cell, "./w:tcPr/w:gridSpan/@w:val", 1))
        grid.append(line)
    width = max(map(len, grid), default=0)
    return [line + [""] * (width - len(line)) for line in grid]


def _number(element: Any, path: str, otherwise: int) -> int:
    said = "".join(find(element, path))
    return min(int(said), _MAX_SPAN) if said.isascii() and said.isdigit() else otherwise


def _read_properties(archive: zipfile.ZipFile, draft: Draft) -> None:
    if "docProps/core.xml" in archive.namelist():
        for element in _parse(archive, "docProps/core.xml"):
            name = etree.QName(element).localname
            if name in {"title", "creator", "subject", "keywords", "description"}:
                draft.describe(name, element.text)
        draft.title = draft.metadata.get("title", "")


def _pack(archive: zipfile.ZipFile, document: bytes) -> bytes:
    """The archive with this document in it and nothing in its pictures, which nobody looks at."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as copy:
        for member in archive.infolist():
            if member.filename == _DOCUMENT:
                copy.writestr(member.filename, document)
            elif member.filename.startswith(("word/media/", "word/embeddings/", "word/fonts/")):
                copy.writestr(member.filename, b"")
            elif member.filename == _TYPES:
                copy.writestr(member.filename, _KINDS.sub(_PLAIN_KIND, archive.read(member)))
            elif not member.is_dir():
                copy.writestr(member.filename, archive.read(member))
    return packed.getvalue()
