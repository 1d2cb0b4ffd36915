"""What is read out of a file: a document of elements, in the order in which they are read, and the chunks that it is cut into."""

from enum import StrEnum

import msgspec

PARSER_VERSION = 2  # of what is made of a file: with another one every file is read again


class ElementKind(StrEnum):
    """What an element is."""

    TITLE = "title"
    TEXT = "text"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"


class Element(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of a document.

    ``text``: all of it; of a table, its caption. ``level``: of a title 1 (the highest) to 9, of a list item 1 (not inside of another) and
    up, else 0. ``page``: from 1, where the file has pages (slides are pages). ``header`` and ``rows``: of a table, as they are shown; a row
    may be shorter than the header.
    """

    kind: ElementKind
    text: str = ""
    level: int = 0
    page: int | None = None
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def characters(self) -> int:
        """How much text it holds."""
        return len(self.text) + sum(map(len, self.header)) + sum(len(cell) for row in self.rows for cell in row)

    def render(self) -> str:
        """All its text, a row a line."""
        rows = [" | ".join(row) for row in (self.header, *self.rows) if any(row)]
        return "\n".join([self.text, *rows] if self.text else rows)


class ParsedDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file as it was read.

    ``format``: what it was read as, which its name may not say: ``pdf``. ``metadata``: what the file says of itself, as text.
    ``missing``: a sentence for each thing that could not be taken. ``pages``: how many, where the file has pages. ``characters``: of text.
    """

    format: str
    title: str = ""
    elements: tuple[Element, ...] = ()
    metadata: dict[str, str] = {}
    missing: tuple[str, ...] = ()
    pages: int | None = None
    characters: int = 0

    def render(self) -> str:
        """All its text, its parts with blank lines between, its tables a row a line."""
        return "\n\n".join(filter(None, (element.render() for element in self.elements)))


class DocumentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a document that was read; itself it is kept as JSON with the bytes of files, under ``blob_id``.

    ``id``: the same for all files that give this document. The rest is the document's; ``created_at``: Unix seconds.
    """

    id: str
    blob_id: str
    format: str
    title: str
    missing: tuple[str, ...]
    pages: int | None
    characters: int
    created_at: int


class ReadFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is asked to read: a file of this machine, and what its owner calls it."""

    path: str
    filename: str


class FileRead(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: the document, or why there is none, for its owner to read."""

    document: ParsedDocument | None = None
    refusal: str = ""


class Chunk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a document that is embedded and found as one.

    ``text``: what is embedded, the headings above it first. ``headings``: from the highest to the nearest. ``pages``: those that it is
    from, rising. ``kind``: of its elements, text where they differ. ``position``: its place in the document, from 0.
    """

    text: str
    headings: tuple[str, ...] = ()
    pages: tuple[int, ...] = ()
    kind: ElementKind = ElementKind.TEXT
    position: int
