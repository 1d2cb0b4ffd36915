"""Marks that go through a foreign parser inside of the text: what is a heading, and where a table stood that was read before."""

import re

from pipelines.parsing.draft import Draft

_BEGIN, _END = "\ue0f0", "\ue0f1"  # of private use: what a file itself has of these is dropped
_HEADING = re.compile(f"{_BEGIN}h(\\d){_END}")
_TABLE = re.compile(f"{_BEGIN}t(\\d+){_END}")


def drop_marks(text: str) -> str:
    """What a file says, without what would be taken for a mark."""
    return text.replace(_BEGIN, "").replace(_END, "")


def mark_heading(level: int) -> str:
    """What a heading begins with."""
    return f"{_BEGIN}h{min(level, 9)}{_END}"


def drop_heading_marks(text: str) -> str:
    """Text in which no heading is meant, as in a cell."""
    return _HEADING.sub("", text)


class Tables:
    """Tables that were read before, each by the mark that stands in its place."""

    def __init__(self) -> None:
        self._found = Draft()

    def mark(self, header: list[str], rows: list[list[str]], caption: str = "") -> str:
        """A paragraph to stand for the table; nothing, if the table is empty."""
        place = len(self._found.elements)
        self._found.add_table(header, rows, caption)
        return f"{_BEGIN}t{place}{_END}" if len(self._found.elements) > place else ""

    def add(self, text: str, draft: Draft) -> bool:
        """Whether the text was a heading or the place of a table, and is in the draft now."""
        if found := _HEADING.search(text):
            draft.add_title(text[: found.start()] + text[found.end() :], int(found[1]))
            return True
        if not (found := _TABLE.search(text)) or int(found[1]) >= len(self._found.elements):
            return False  # also where a file has written a mark as an entity
        draft.add_text(text[: found.start()])
        table = self._found.elements[int(found[1])]
        draft.add_table(table.header, table.rows, table.text)
        rest = text[found.end() :]
        if not self.add(rest, draft):
            draft.add_text(rest)
        return True
