"""Documents cut into chunks: by structure first (headings, paragraphs, rows), then by the embedder's own tokens, with an overlap."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby

import msgspec

from core.models.documents import Chunk, Element, ElementKind, ParsedDocument

VERSION = 1  # of the way to cut: a change of it changes what is embedded

_HEADINGS_SHARE = 3  # headings take at most a third of a chunk,
_HEADER_SHARE = 2  # a table's header at most half of the rest,
_CELL_SHARE = 4  # and a cell that is cut has at least a quarter of that
_BLANK_LINE = "\n\n"
_BETWEEN_CELLS = " | "
_BETWEEN_HEADINGS = " > "
# Where text may be cut, best first; what a unit ends with stays with it.
_UNITS = (
    re.compile(r".*?\n\s*\n+|.+", re.DOTALL),
    re.compile(r"[^\n]*\n|[^\n]+"),
    re.compile(r"(?:[^.!?…。！？]++|[.!?…。！？]++(?=\w))*+[.!?…。！？]*+[\s\"'”’)\]]*+"),  # noqa: RUF001 - full stops of other scripts
    re.compile(r"\s*\S+\s*"),
)  # fmt: skip
_CACHED_COUNTS = 4096


def chunk(document: ParsedDocument, count_tokens: Callable[[str], int], *, max_tokens: int, overlap_tokens: int) -> list[Chunk]:
    """The document's chunks, in order. ``count_tokens``: how many tokens of the embedder a text is.

    No chunk has more than ``max_tokens``, its headings counted, unless one character alone has. Where text is cut, the next chunk repeats
    at most ``overlap_tokens`` of it. Where a table is cut, each chunk repeats the header; a row is cut only where it alone is too long, in
    its longest cell, with its other cells repeated. A heading stands in the chunks below it, or has its own where nothing is below it.
    Raises ValueError for limits that make no sense.
    """
    if not 0 <= overlap_tokens < max_tokens:
        message = "overlap_tokens must be at least 0 and less than max_tokens"
        raise ValueError(message)
    return _Cutter(count_tokens, max_tokens, overlap_tokens).cut(document)


class _Section(msgspec.Struct, frozen=True, kw_only=True):
    """What stands below one heading, until the next. ``path``: from the highest heading to this one."""

    path: tuple[Element, ...] = ()
    elements: list[Element]


class _Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Text that is not cut any more. ``glue``: what parts it from a piece before it in the same chunk."""

    text: str
    glue: str
    element: Element


class _Cutter:
    def __init__(self, count_tokens: Callable[[str], int], max_tokens: int, overlap_tokens: int) -> None:
        self._count = lru_cache(_CACHED_COUNTS)(count_tokens)
        self._max = max_tokens
        self._overlap = overlap_tokens
        self._chunks: list[Chunk] = []
        self._path: tuple[Element, ...] = ()
        self._prefix = ""
        self._budget = max_tokens

    def cut(self, document: ParsedDocument) -> list[Chunk]:
        sections = _find_sections(document.elements)
        for section, following in zip(sections, [*sections[1:], None], strict=False):
            elements = section.elements
            if section.path and not elements:
                if following and len(following.path) > len(section.path) and self._shorten(following.path)[1]:
                    continue  # the sections below it name it
                self._enter(section.path[:-1])
                elements = [section.path[-1]]
            else:
                self._enter(section.path)
                if section.path and section.path[-1].text not in self._prefix:
                    elements = [section.path[-1], *elements]  # too long to be repeated
            for is_table, run in groupby(elements, key=lambda element: element.kind is ElementKind.TABLE):
                for part in run if is_table else [list(run)]:
                    self._cut_table(part) if isinstance(part, Element) else self._cut_text(part)
        return self._chunks

    def _enter(self, path: tuple[Element, ...]) -> None:
        self._path = path
        prefix = self._shorten(path)[0]
        self._prefix = prefix + _BLANK_LINE if prefix else ""
        self._budget = self._max - (self._count(self._prefix) if prefix else 0)

    def _shorten(self, path: tuple[Element, ...]) -> tuple[str, bool]:
        """The nearest headings that fit into their share, and whether these are all."""
        limit = self._max // _HEADINGS_SHARE
        texts = [title.text for title in path]
        for first in range(len(texts)):
            joined = _BETWEEN_HEADINGS.join(texts[first:])
            if self._count(joined + _BLANK_LINE) <= limit:
                return joined, first == 0
        if not texts or not limit:
            return "", not texts
        beginning = next(iter(self._split(texts[-1], limit)))
        return (beginning.rstrip() if self._count(beginning + _BLANK_LINE) <= limit else ""), False

    def _cut_text(self, elements: Sequence[Element]) -> None:
        """As many pieces a chunk as fit, and of the chunk before what may be repeated."""
        pieces: list[_Piece] = []
        used = 0
        for piece in self._iter_pieces(elements):
            size = self._count(piece.glue + piece.text)
            if pieces and used + size > self._budget:
                pieces = self._emit_pieces(pieces, size)
                used = sum(self._count(kept.glue + kept.text) for kept in pieces)
            pieces.append(piece)
            used += size
        if pieces:
            self._emit_pieces(pieces, self._budget)

    def _iter_pieces(self, elements: Sequence[Element]) -> Iterator[_Piece]:
        before = None
        for element in elements:
            items = before is not None and before.kind is element.kind is ElementKind.LIST_ITEM
            glue = "\n" if items else _BLANK_LINE
            whole = self._count(glue + element.text) <= self._budget
            for text in (element.text,) if whole else self._split(element.text, max(self._budget - self._overlap, 1)):
                yield _Piece(text=text, glue=glue, element=element)
                glue = ""
            before = element

    def _emit_pieces(self, pieces: Sequence[_Piece], following_size: int) -> list[_Piece]:
        """A chunk of them; what the next one repeats, if that leaves room for what follows."""
        body = "".join(piece.glue + piece.text for piece in pieces)
        self._emit(body, [piece.element for piece in pieces])
        tail = self._take_tail(body, min(self._overlap, self._budget - following_size))
        return [_Piece(text=tail, glue="", element=pieces[-1].element)] if tail else []

    def _take_tail(self, body: str, limit: int) -> str:
        """The end of a text, whole sentences or lines, else words; at most ``limit`` tokens."""
        if limit <= 0:
            return ""
        for unit in _UNITS[1:]:
            units = list(filter(None, unit.findall(body[-limit * 64 :])))  # more characters a token than any tokenizer has
            kept = len(units)
            size = 0
            while kept and (size := size + self._count(units[kept - 1])) <= limit:
                kept -= 1
            tail = "".join(units[kept:])
            if tail.strip() and self._count(tail) <= limit:
                return tail
        return ""

    def _cut_table(self, table: Element) -> None:
        """As many rows a chunk as fit, below caption and header."""
        head = "\n".join(filter(None, (table.text, _BETWEEN_CELLS.join(table.header))))
        if head and self._count(head + "\n") > self._budget // _HEADER_SHARE:
            self._emit(head, [table])  # too long to be repeated
            head = ""
        elif not table.rows:
            self._emit(head, [table])
        head = head + "\n" if head else ""
        room = self._budget - (self._count(head) if head else 0)
        rows: list[str] = []
        used = 0
        for row in table.rows:
            line = _BETWEEN_CELLS.join(row)
            size = self._count(line + "\n")
            if rows and used + size > room:
                self._emit(head + "\n".join(rows), [table])
                rows, used = [], 0
            if size > room:
                for part in self._cut_row(row, room):
                    self._emit(head + part, [table])
                continue
            rows.append(line)
            used += size
        if rows:
            self._emit(head + "\n".join(rows), [table])

    def _cut_row(self, row: tuple[str, ...], room: int) -> Iterator[str]:
        """Cut in its longest cell, the others repeated; where these leave no room, wherever it must be."""
        longest = max(range(len(row)), key=lambda place: len(row[place]))
        others = _BETWEEN_CELLS.join((*row[:longest], "", *row[longest + 1 :])) + "\n"
        left = room - self._count(others)
        if left < max(room // _CELL_SHARE, 1):
            yield from self._split(_BETWEEN_CELLS.join(row), room)
            return
        for part in self._split(row[longest], left):
            yield _BETWEEN_CELLS.join((*row[:longest], part.strip(), *row[longest + 1 :]))

    def _split(self, text: str, limit: int, level: int = 0) -> Iterator[str]:
        """Parts of at most ``limit`` tokens, as large as they may be, that make up the text."""
        if self._count(text) <= limit or len(text) == 1:
            yield text
            return
        units: Iterable[str] = filter(None, _UNITS[level].findall(text)) if level < len(_UNITS) else text
        part, used = "", 0
        for unit in units:
            size = self._count(unit)
            if part and used + size > limit:
                yield from self._check(part, limit, level)
                part, used = "", 0
            if size > limit:
                yield from self._split(unit, limit, level + 1)
                continue
            part += unit
            used += size
        if part:
            yield from self._check(part, limit, level)

    def _check(self, part: str, limit: int, level: int) -> Iterator[str]:
        """A part whose units together are more tokens than they are apart is cut again."""
        if self._count(part) <= limit or len(part) == 1:
            yield part
        elif level < len(_UNITS):
            yield from self._split(part, limit, level + 1)
        else:
            yield from self._check(part[: len(part) // 2], limit, level)
            yield from self._check(part[len(part) // 2 :], limit, level)

    def _emit(self, body: str, elements: Sequence[Element]) -> None:
        """A chunk, or two where it is too long after all: tokens of parts do not always add up."""
        body = body.strip("\n").rstrip()
        if not body:
            return
        text = self._prefix + body
        if self._count(text) > self._max:
            if len(body) > 1:
                middle = max(body.rfind(" ", 0, len(body) // 2), body.rfind("\n", 0, len(body) // 2)) + 1 or len(body) // 2
                self._emit(body[:middle], elements)
                self._emit(body[middle:], elements)
                return
            text = body
        kinds = {element.kind for element in elements}
        self._chunks.append(
            Chunk(
                text=text,
                headings=tuple(title.text for title in self._path),
                pages=tuple(sorted({element.page for element in elements if element.page is not None})),
                kind=kinds.pop() if len(kinds) == 1 else ElementKind.TEXT,
                position=len(self._chunks),
            )
        )


def _find_sections(elements: Sequence[Element]) -> list[_Section]:
    sections = [_Section(elements=[])]
    for element in elements:
        if element.kind is ElementKind.TITLE:
            above = tuple(title for title in sections[-1].path if title.level < element.level)
            sections.append(_Section(path=(*above, element), elements=[]))
        else:
            sections[-1].elements.append(element)
    return sections if sections[0].elements else sections[1:]
