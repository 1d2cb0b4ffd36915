"""CSV and TSV, whatever parts their columns: one table, with its header where it has one."""

import csv
import io
import re
from collections import Counter

from core.errors import BadRequest
from pipelines.parsing.draft import Draft
from pipelines.parsing.encodings import decode

_CANDIDATES = ("\t", ";", "|", ",")  # a comma last: it also stands inside of numbers and sentences
_SAMPLE_LINES = 200
_MAJORITY = 0.5
_SEPARATOR_LINE = re.compile(r"\Asep=(.)\r?\n", re.IGNORECASE)
_NUMBER = re.compile(r"[-+(]?[$€£]?\s?\d[\d.,'\s]*\s?[%€$£)]?|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*")


def read_delimited(content: bytes, draft: Draft) -> None:
    """A file with one column is a table of one column."""
    text = decode(content)
    if said := _SEPARATOR_LINE.match(text):  # Excel's way to say it
        delimiter, text = said[1], text[said.end() :]
    else:
        delimiter = _find_delimiter(text)
    csv.field_size_limit(max(len(text), 1))  # a long cell is no error
    # A delimiter that nowhere stands gives one column.
    lines = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter or "\x1f", strict=False)
    try:
        rows = [row for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        message = f"It cannot be read as a table ({error}). Save it as CSV again."
        raise BadRequest(message) from error
    header = rows[0] if is_header(rows) else []
    draft.add_table(header, rows[1:] if header else rows)


def is_header(rows: list[list[str]]) -> bool:
    """The first row names columns: it has other rows below it, no number, nothing twice, and no gap but above the names of rows."""
    first = [cell.strip() for cell in rows[0]] if rows else []
    if len(rows) <= 1 or not any(first) or not all(first[1:]) or len(set(first)) != len(first):
        return False
    return not any(_NUMBER.fullmatch(cell) for cell in first)


def _find_delimiter(text: str) -> str:
    """What stands equally often, outside of quotes, in most lines and in the first one; nothing, where there is one column."""
    lines = _sample(text)
    best, share_of_best = "", _MAJORITY
    for candidate in _CANDIDATES:
        counts = [line.count(candidate) for line in lines]
        if not counts or not counts[0]:
            continue
        (count, times), *_ = Counter(counts).most_common(1)
        if count and times / len(lines) > share_of_best:
            best, share_of_best = candidate, times / len(lines)
    return best


def _sample(text: str) -> list[str]:
    """The first lines, without what stands in quotes; a line break in quotes ends no line."""
    lines: list[str] = []
    line: list[str] = []
    quoted = False
    for part in re.finditer(r'"|\r\n?|\n|[^"\r\n]+', text):
        if part[0] == '"':
            quoted = not quoted
        elif part[0][0] not in "\r\n":
            if not quoted:
                line.append(part[0])
        elif not quoted:
            if line:
                lines.append("".join(line))
            line = []
            if len(lines) == _SAMPLE_LINES:
                return lines
    return [*lines, "".join(line)] if line else lines
