"""Excel workbooks: each block of cells as a table, with values as they are shown but not rounded."""

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils import range_boundaries
from openpyxl.utils.exceptions import InvalidFileException

from core.errors import BadRequest
from pipelines.parsing.delimited import is_header
from pipelines.parsing.draft import Draft

_MAX_NAMED = 20
_MAX_CELLS = 2_000_000
_SCATTERED = 20  # of so many places one is used
_AREA = re.compile(rb"""<(?:\w+:)?(?:mergeCell|hyperlink)\b[^<>]*?\bref\s*=\s*["']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})["']""")
_TOO_WIDE = "Its cells are merged, linked or scattered over too wide an area. Save what is needed as a smaller file."
_SIGNIFICANT_DIGITS = 15  # what Excel keeps of a number
_FIRST_SECTION = re.compile(r'(?:"[^"]*"|\\.|\[[^\]]*\]|[^;])*')  # of positive numbers
_CURRENCY = re.compile(r"\[\$([^\]-]*)(?:-[^\]]*)?\]")
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|([€$£¥%])')

Grid = list[list[str]]


def read_sheets(content: bytes, draft: Draft) -> None:
    """Visible sheets in order, each under a title. Hidden sheets, charts, pictures and formulas without a value are named."""
    _refuse_wide_areas(content)
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(content), read_only=True) if _has_formulas(content) else None
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, ParseError, OSError) as error:
        message = f"It is not a workbook that can be read ({error}). Save it as .xlsx again."
        raise BadRequest(message) from error
    draft.describe("author", book.properties.creator)
    draft.title = book.properties.title or ""
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            draft.miss(f"The sheet {sheet.title} is hidden and was left out.")
            continue
        draft.add_title(sheet.title, 1)
        if formulas:
            _name_formulas(sheet, formulas[sheet.title], draft)
        for count, thing in ((len(sheet._charts), "chart"), (len(sheet._images), "picture")):  # noqa: SLF001 - openpyxl has no other way
            if count:
                draft.miss(f"The sheet {sheet.title} has {count} {thing}{'s' if count > 1 else ''}, which cannot be read.")
        _add_blocks(_read_grid(sheet), draft)
    for chart in book.chartsheets:
        draft.miss(f"The sheet {chart.title} is a chart, which cannot be read.")


def _refuse_wide_areas(content: bytes) -> None:
    """openpyxl makes an object of each cell that is merged or linked, of which a line can name 17 billion."""
    cells = 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                for found in _AREA.finditer(archive.read(name)):
                    left, top, right, bottom = range_boundaries(found[1].decode())
                    cells += (right - left + 1) * (bottom - top + 1)
    if cells > _MAX_CELLS:
        raise BadRequest(_TOO_WIDE)


def _has_formulas(content: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return any(
            b"<f" in archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")
        )


def _name_formulas(sheet: Any, formulas: Any, draft: Draft) -> None:
    """Those that no program has computed yet: their cells are empty."""
    formulas.reset_dimensions()  # what the file says of its size may be a lie, and is filled up with empty cells
    found = [
        cell.coordinate
        for row in formulas.iter_rows()
        for cell in row
        if cell.value is not None and getattr(cell, "data_type", "") == "f" and sheet.cell(cell.row, cell.column).value is None
    ]
    for coordinate in found[:_MAX_NAMED]:
        draft.miss(f"The cell {coordinate} of the sheet {sheet.title} has a formula without a computed value. Save the file with Excel.")
    if len(found) > _MAX_NAMED:
        draft.miss(f"{len(found) - _MAX_NAMED} more cells of the sheet {sheet.title} have formulas without a computed value.")


def _read_grid(sheet: Any) -> Grid:
    """What each cell shows, of empty rows and columns one at a time. A merged area shows its value in all of its cells."""
    shown = {place: text for place, cell in sheet._cells.items() if (text := _show_cell(cell))}  # noqa: SLF001 - only those that are there
    for area in sheet.merged_cells.ranges:
        if merged := shown.get((area.min_row, area.min_col)):
            shown.update(dict.fromkeys(area.cells, merged))
    rows = _close_gaps({row for row, _ in shown})
    columns = _close_gaps({column for _, column in shown})
    if len(rows) * len(columns) > _MAX_CELLS and len(shown) < len(rows) * len(columns) // _SCATTERED:
        raise BadRequest(_TOO_WIDE)
    grid = [[""] * (max(columns.values()) + 1) for _ in range(max(rows.values()) + 1)] if shown else []
    for (row, column), text in shown.items():
        grid[rows[row]][columns[column]] = text
    return grid


def _close_gaps(used: set[int]) -> dict[int, int]:
    """New numbers from 0 in the same order, one left out for a gap."""
    numbers: dict[int, int] = {}
    place = before = -1
    for number in sorted(used):
        place += 1 if number == before + 1 or before < 0 else 2
        numbers[number] = place
        before = number
    return numbers


def _show_cell(cell: Any) -> str:
    text = show_value(cell.value, str(cell.number_format or ""))
    if comment := getattr(cell, "comment", None):
        text = f"{text} [Comment: {comment.text}]"
    link = getattr(cell, "hyperlink", None)
    if link and link.target and link.target not in text:
        text = f"{text} ({link.target})"
    return text.strip()


def show_value(value: object, number_format: str) -> str:
    """A value with its sign (%, €) and all of its digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        midnight = value.time() == time()
        return value.date().isoformat() if midnight else value.isoformat(" ", "seconds")
    if isinstance(value, (int, float)):
        return _show_number(value, number_format)
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def _show_number(value: float, number_format: str) -> str:
    number = Decimal(value) if isinstance(value, int) else Decimal(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    before, places, after = _read_format(number_format)
    if "%" in before + after:
        number *= 100
    shown = f"{number.normalize():f}"
    if isinstance(value, float) and len(shown.partition(".")[2]) < places:
        shown = f"{number:.{places}f}"
    return f"{before}{shown}{after}".strip()


@lru_cache
def _read_format(number_format: str) -> tuple[str, int, str]:
    """What stands before a positive number, how many decimal places it has at least, and what stands after it."""
    section = _FIRST_SECTION.match(number_format)
    before, digits, after = _split_format(_CURRENCY.sub(_quote, section[0] if section else ""))
    return _literals(before), len(digits.partition(".")[2]), _literals(after)


def _quote(currency: re.Match[str]) -> str:
    return f'"{currency[1]}"' if currency[1] else ""


def _split_format(section: str) -> tuple[str, str, str]:
    """What stands before the digits of a number's format, the digits, and what stands after them."""
    bare = re.sub(r'"[^"]*"|\\.', lambda found: "\0" * len(found[0]), section)
    digits = re.search(r"[#0?][#0?,. ]*[#0?]|[#0?]", bare)
    if not digits:
        return "", "", ""
    return section[: digits.start()], bare[digits.start() : digits.end()].replace(" ", ""), section[digits.end() :]


def _literals(part: str) -> str:
    return "".join("".join(found) if any(found) else "" for found in _LITERAL.findall(part.replace(" ", '" "')))


def _add_blocks(grid: Grid, draft: Draft) -> None:
    """Tables side by side are parted by an empty column; one below another by an empty row, unless it goes on in the same columns."""
    headers: dict[tuple[int, int], list[str]] = {}
    for rows in _split_rows(grid):
        for (left, right), header in headers.items():
            block = [row[left:right] for row in rows]
            if not _take_caption(block)[0] and not _has_header(block):
                draft.add_table(header, block)
                for row in rows:
                    row[left:right] = [""] * (right - left)
        for left, right in list(_find_columns(rows)):
            caption, block = _take_caption([row[left:right] for row in rows])
            header = block[0] if is_header(block) else []
            if header:
                headers[left, right] = header
            draft.add_table(header, block[1:] if header else block, caption)


def _has_header(block: Grid) -> bool:
    """Surely: words above numbers."""
    return is_header(block) and any(re.fullmatch(r"\W*\d.*", cell) for row in block[1:] for cell in row)


def _split_rows(grid: Grid) -> Iterator[Grid]:
    block: Grid = []
    for row in grid:
        if any(row):
            block.append(row)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _find_columns(rows: Grid) -> Iterator[tuple[int, int]]:
    """From and until which column blocks reach."""
    left = None
    width = max(map(len, rows))
    for column in range(width + 1):
        used = column < width and any(row[column] for row in rows)
        if used and left is None:
            left = column
        elif not used and left is not None:
            yield left, column
            left = None


def _take_caption(block: Grid) -> tuple[str, Grid]:
    """Rows at the top with one value, in one cell or merged over several, are what the table is called."""
    captions = []
    while len(block) > 1 and len(block[0]) > 1 and any(block[1]) and len({cell for cell in block[0] if cell}) == 1:
        captions.append(next(cell for cell in block[0] if cell))
        block = block[1:]
    return " – ".join(captions), block  # noqa: RUF001 - a dash
