"""A document while it is read: what every parser writes into."""

import re
from collections.abc import Iterable, Sequence

from core.models.documents import Element, ElementKind, ParsedDocument

MAX_LEVEL = 9

# A soft hyphen, a zero-width space, a word joiner and a byte order mark: nobody sees them, and keyword search misses words that hold them.
_UNSEEN = {0x00AD: None, 0x200B: None, 0x2060: None, 0xFEFF: None}
_CONTROLS = dict.fromkeys([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F], " ")
_CHARACTERS = str.maketrans(_UNSEEN | _CONTROLS)
_NEWLINES = re.compile(r"\r\n?|\u2028|\u2029|\x85")
_BLANK_LINES_AT_THE_TOP = re.compile(r"\A(?:[ \t]*\n)+")


def clean(text: str) -> str:
    """Text with line feeds at ends of lines, without characters that nobody sees; a lone surrogate, which no encoding takes, is a ``?``."""
    if text.isascii() and text.isprintable():  # most cells of a table
        return text
    text = _NEWLINES.sub("\n", text).translate(_CHARACTERS)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text


def on_one_line(text: str) -> str:
    """Text cleaned, with a single space for every run of white space."""
    return " ".join(clean(text).split())


class Draft:
    """Elements in the order in which they are read, and what is known of the document so far. ``page``: where the reader is."""

    def __init__(self) -> None:
        self.title = ""
        self.metadata: dict[str, str] = {}
        self.page: int | None = None
        self.pages: int | None = None
        self.elements: list[Element] = []
        self._missing: dict[str, None] = {}

    def add_title(self, text: str, level: int) -> None:
        """A heading; ``level`` from 1. The first is the document's title, unless it has one."""
        if text := on_one_line(text):
            self.title = self.title or text
            self._add(ElementKind.TITLE, text, min(max(level, 1), MAX_LEVEL))

    def add_text(self, text: str) -> None:
        """A paragraph. Its lines stay lines, and its indentation stays."""
        self._add(ElementKind.TEXT, text)

    def add_item(self, text: str, level: int = 1) -> None:
        """An item of a list, with its number where it has one."""
        self._add(ElementKind.LIST_ITEM, text.strip(), level)

    def add_code(self, text: str) -> None:
        """Lines in which space matters."""
        self._add(ElementKind.CODE, text)

    def add_table(self, header: Iterable[str], rows: Iterable[Sequence[str]], caption: str = "") -> None:
        """A table; each cell's text on one line. Empty rows go."""
        head = tuple(map(on_one_line, header))
        body = tuple(row for row in (tuple(map(on_one_line, row)) for row in rows) if any(row))
        if any(head) or body:
            caption = on_one_line(caption)
            self.elements.append(Element(kind=ElementKind.TABLE, text=caption, page=self.page, header=head, rows=body))
        else:
            self.add_text(caption)

    def miss(self, sentence: str) -> None:
        """Something that could not be taken; the same is said once."""
        self._missing[on_one_line(sentence)] = None

    def describe(self, name: str, value: object) -> None:
        """What the file says of itself."""
        if text := on_one_line(str(value or "")):
            self.metadata[on_one_line(name)] = text

    def finish(self, format_: str) -> ParsedDocument:
        """The document."""
        return ParsedDocument(
            format=str(format_),
            title=on_one_line(self.title),
            elements=tuple(self.elements),
            metadata=self.metadata,
            missing=tuple(self._missing),
            pages=self.pages,
            characters=sum(element.characters for element in self.elements),
        )

    def _add(self, kind: ElementKind, text: str, level: int = 0) -> None:
        lines = _BLANK_LINES_AT_THE_TOP.sub("", clean(text)).split("\n")
        text = "\n".join(line.rstrip() for line in lines).rstrip()
        if text:
            self.elements.append(Element(kind=kind, text=text, level=level, page=self.page))
