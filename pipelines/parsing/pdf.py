"""PDF, page by page, with what forms are filled in with and what annotations say."""

import ctypes
import re
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from core.errors import BadRequest
from pipelines.parsing.draft import Draft, clean
from pipelines.parsing.formats import ENCRYPTED

_DAMAGED = "It is damaged or ends too early, so that it cannot be opened. Save or upload it again."
_SCANNED = "no text; OCR extra not installed"
_MAX_NAMED = 20

# A hyphen at the end of a line, with the line's end: pypdfium2 gives U+0002 within bounds, U+FFFE without them.
_HYPHEN = re.compile("([^\\W\\d_]{0,40})[\x02\ufffe](?:\r?\n)?([^\\W_]{0,40})")
_ENDS_A_SENTENCE = (".", "!", "?", ":", ";")
_SHORT = 0.75  # of the longest line
_DIGIT_AFTER = re.compile(r"(?<=[\w)\]])\d")
_SMALL = 0.8
_AROUND = 12
_NOTES = {pdfium.FPDF_ANNOT_TEXT, pdfium.FPDF_ANNOT_HIGHLIGHT, pdfium.FPDF_ANNOT_UNDERLINE, pdfium.FPDF_ANNOT_STRIKEOUT}
_NOTES |= {pdfium.FPDF_ANNOT_SQUIGGLY, pdfium.FPDF_ANNOT_CARET, pdfium.FPDF_ANNOT_STAMP, pdfium.FPDF_ANNOT_SQUARE, pdfium.FPDF_ANNOT_CIRCLE}
_SHOWN = {pdfium.FPDF_ANNOT_WIDGET, pdfium.FPDF_ANNOT_FREETEXT}
_ATTACHED = pdfium.FPDF_ANNOT_FILEATTACHMENT


def read_pdf(content: bytes, draft: Draft) -> None:
    """Paragraphs with their page; lines that the outline names are titles. A page of pictures alone is named."""
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        encrypted = getattr(error, "err_code", None) in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}
        raise BadRequest(ENCRYPTED if encrypted else _DAMAGED) from error
    try:
        document.init_forms()  # without it, pages show no values of forms
        _read_pages(document, draft)
        _read_metadata(document, draft)
    finally:
        document.close()


def _read_pages(document: Any, draft: Draft) -> None:
    draft.pages = len(document)
    outline = _read_outline(document)
    texts: list[str] = []
    notes: list[list[str]] = []
    scanned = []
    for number in range(1, draft.pages + 1):
        try:
            text, said, pictures = _read_page(document, number - 1, draft)
        except pypdfium2.PdfiumError:
            draft.miss(f"Page {number} is damaged and could not be read.")
            text, said, pictures = "", [], False
        texts.append(text)
        notes.append(said)
        if not text.strip() and pictures:
            scanned.append(number)
    if scanned and not any(text.strip() for text in texts) and not any(notes):
        message = f"It is scanned: {_SCANNED}. Run a text recognition over it and upload the result."
        raise BadRequest(message)
    for number in scanned[:_MAX_NAMED]:
        draft.miss(f"Page {number} is a picture ({_SCANNED}).")
    if len(scanned) > _MAX_NAMED:
        draft.miss(f"{len(scanned) - _MAX_NAMED} more pages are pictures ({_SCANNED}).")
    words = _find_hyphenated(texts)
    for number, (text, said) in enumerate(zip(texts, notes, strict=True), 1):
        draft.page = number
        _add_page(_mend_hyphens(text, words), outline.get(number, {}), draft)
        for note in said:
            draft.add_text(f"[Note: {note}]")
    draft.page = None


def _read_page(document: Any, place: int, draft: Draft) -> tuple[str, list[str], bool]:
    """Its text within its bounds, what notes on it say, and whether it shows pictures."""
    page = document[place]
    notes, shown = _read_annotations(page, place + 1, draft)
    if shown:
        pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)  # makes it a part of the page, which is seen once that is loaded again
        page.close()
        page = document[place]
    text_page = page.get_textpage()
    text = _raise_powers(text_page.get_text_bounded(), text_page)
    pictures = not text.strip() and any(True for _ in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3))
    text_page.close()
    page.close()
    return text, notes, pictures


def _raise_powers(text: str, text_page: Any) -> str:
    """A small digit that stands high after a larger character gets a sign: 500¹ is not 5001."""
    characters = text_page.get_text_range()
    if len(characters) != text_page.count_chars():
        return text  # places of characters are not those of the text
    begin = 0
    for found in _DIGIT_AFTER.finditer(characters):
        place = found.start()
        (_, bottom_before, _, top_before), (_, bottom, _, top) = (text_page.get_charbox(at, loose=True) for at in (place - 1, place))
        height_before = top_before - bottom_before
        if top - bottom < _SMALL * height_before and bottom > bottom_before + (1 - _SMALL) * height_before / 2:
            around = characters[max(place - _AROUND, 0) : place].rpartition("\n")[2]
            at = text.find(around + found[0], begin)
            if at >= 0:
                begin = at + len(around)
                text = f"{text[:begin]}^{text[begin:]}"
    return text


def _read_annotations(page: Any, number: int, draft: Draft) -> tuple[list[str], bool]:
    """What notes say, and whether there are fields of forms or other text that the page itself does not have."""
    notes, shown = [], False
    for place in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, place)
        if not annotation:
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        shown = shown or kind in _SHOWN
        if kind in _NOTES and (said := _get_contents(annotation).strip()):
            notes.append(said)
        elif kind == _ATTACHED:
            draft.miss(f"A file attached to page {number} was left out.")
        pdfium.FPDFPage_CloseAnnot(annotation)
    return notes, shown


def _get_contents(annotation: Any) -> str:
    length = pdfium.FPDFAnnot_GetStringValue(annotation, b"Contents", None, 0)
    buffer = ctypes.create_string_buffer(length)
    pdfium.FPDFAnnot_GetStringValue(annotation, b"Contents", ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), length)
    return buffer.raw[:length].decode("utf-16-le", "replace").rstrip("\0")


def _read_outline(document: Any) -> dict[int, dict[str, int]]:
    """Of each page the titles that the outline has there, as they are compared, with their levels from 1."""
    found: dict[int, dict[str, int]] = {}
    for bookmark in document.get_toc(max_depth=8):
        target = bookmark.get_dest()
        place = target.get_index() if target else None
        if place is not None:
            found.setdefault(place + 1, {})[_fold(bookmark.get_title())] = bookmark.level + 1
    return found


def _add_page(text: str, titles: dict[str, int], draft: Draft) -> None:
    lines = clean(text).split("\n")
    longest = max(map(len, lines), default=0)
    paragraph: list[str] = []

    def end_paragraph() -> None:
        draft.add_text("\n".join(paragraph))
        paragraph.clear()

    for line in lines:
        level = titles.get(_fold(line))
        if level:
            end_paragraph()
            draft.add_title(line, level)
            continue
        if line.strip():
            paragraph.append(line)
        if not line.strip() or (len(line) < _SHORT * longest and line.rstrip().endswith(_ENDS_A_SENTENCE)):
            end_paragraph()
    end_paragraph()


def _fold(line: str) -> str:
    """A line as it is compared with the outline: a chapter's number may stand in one of them only."""
    return re.sub(r"^(?:chapter|appendix)?[\s\d.]*|\W+", "", line.casefold())


def _find_hyphenated(texts: list[str]) -> frozenset[str]:
    """Words with a hyphen that stand whole somewhere in the document."""
    return frozenset(word.casefold() for text in texts for word in re.findall(r"\b[^\W_]+-[^\W_]+", text))


def _mend_hyphens(text: str, hyphenated: frozenset[str]) -> str:
    """A word that a line's end cuts is joined, unless its hyphen is its own: before a capital or a number, or as written elsewhere."""

    def mend(found: re.Match[str]) -> str:
        left, right = found[1], found[2]
        own = not left or not right or not right[0].islower() or f"{left}-{right}".casefold() in hyphenated
        return f"{left}-{right}" if own else left + right

    return _HYPHEN.sub(mend, text)


def _read_metadata(document: Any, draft: Draft) -> None:
    for name, value in document.get_metadata_dict(skip_empty=True).items():
        draft.describe(name.lower(), value)
    draft.title = draft.metadata.get("title", "") or draft.title
    for place in range(document.count_attachments()):
        draft.miss(f"An attached file was left out: {document.get_attachment(place).get_name()}.")
