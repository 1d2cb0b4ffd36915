"""Plain text, logs and source code: line by line, with their indentation."""

import re

from pipelines.parsing.draft import Draft, clean
from pipelines.parsing.encodings import decode

_BLANK_LINES = re.compile(r"\n(?:[ \t\f]*\n)+|\f")


def read_text(content: bytes, draft: Draft) -> None:
    """Paragraphs are what stands between blank lines; a form feed begins a page, as in RFCs."""
    text = decode(content)
    pages = text.split("\f") if "\f" in text.strip() else [text]
    for number, page in enumerate(pages, 1):
        if len(pages) > 1:
            draft.page = draft.pages = number
        for paragraph in _BLANK_LINES.split(clean(page)):
            draft.add_text(paragraph)


def read_code(content: bytes, draft: Draft) -> None:
    """One element: where source code may be cut is the chunker's business."""
    draft.add_code(decode(content))
