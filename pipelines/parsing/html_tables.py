"""Tables of a page as header and rows, with spans filled in, and those that are there for the layout taken apart."""

from typing import Any

from lxml import etree

from pipelines.parsing.delimited import is_header
from pipelines.parsing.marks import Tables

_MAX_SPAN = 100
_MAX_CELLS = 200_000
_ROWS = "./tr | ./thead/tr | ./tbody/tr | ./tfoot/tr"
_BLOCKS = frozenset({"p", "div", "li", "br", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "dt", "dd"})


def replace_tables(root: Any, tables: Tables) -> None:
    """In place of each table of data a paragraph with its mark; of a table of layout its cells are blocks."""
    for table in reversed(root.xpath(".//table")):  # those in others first
        rows = table.xpath(_ROWS)
        if _is_layout(table, rows):
            for element in [table, *table.iterdescendants("thead", "tbody", "tfoot", "tr", "td", "th", "caption")]:
                element.tag = "div"
            continue
        header, body = _read_table(rows)
        caption = " ".join(text for found in table.xpath("./caption") for text in found.itertext())
        mark = tables.mark(header, body, caption)
        for child in list(table):
            table.remove(child)
        table.tag = "p"
        table.text = mark


def _is_layout(table: Any, rows: list[Any]) -> bool:
    if table.get("role") in {"presentation", "none"}:
        return True
    if table.xpath("./thead | ./caption | ./tr/th | ./tbody/tr/th"):
        return False
    one_column = all(len(row.xpath("./td")) <= 1 for row in rows)
    return one_column or bool(table.xpath(".//td//h1 | .//td//h2 | .//td//h3 | .//td//div//p | .//td//ul//li//p"))


def _read_table(rows: list[Any]) -> tuple[list[str], list[list[str]]]:
    grid, head_rows = _fill_spans(rows)
    if not head_rows and is_header(grid):
        head_rows = 1
    header = [" / ".join(dict.fromkeys(filter(None, column))) for column in zip(*grid[:head_rows], strict=True)] if head_rows else []
    return header, grid[head_rows:]


def _fill_spans(rows: list[Any]) -> tuple[list[list[str]], int]:
    """Rows of equal length, where a cell stands in every place that it spans; how many of the first rows are header."""
    hanging: dict[int, tuple[int, str]] = {}  # by column: for how many rows more, and what
    grid: list[list[str]] = []
    head_rows, cells = 0, 0
    for place, row in enumerate(rows):
        line: list[str] = []
        for cell in row.xpath("./td | ./th"):
            _take_hanging(hanging, line)
            text = _text_of(cell)
            across, down = _span(cell, "colspan"), _span(cell, "rowspan")
            cells += across
            if cells > _MAX_CELLS:
                across, down = 1, 1
            for _ in range(across):
                if down > 1:
                    hanging[len(line)] = (down - 1, text)
                line.append(text)
        _take_hanging(hanging, line)
        in_head = row.getparent().tag == "thead" or (not row.xpath("./td") and bool(row.xpath("./th")))
        if head_rows == place and in_head:
            head_rows += 1
        grid.append(line)
    width = max(map(len, grid), default=0)
    return [line + [""] * (width - len(line)) for line in grid], head_rows if head_rows < len(grid) else 0


def _take_hanging(hanging: dict[int, tuple[int, str]], line: list[str]) -> None:
    """What cells of rows above have in the next columns of this one."""
    while len(line) in hanging:
        column = len(line)
        rows, text = hanging.pop(column)
        if rows > 1:
            hanging[column] = (rows - 1, text)
        line.append(text)


def _span(cell: Any, name: str) -> int:
    said = cell.get(name, "1").strip()
    return min(max(int(said), 1), _MAX_SPAN) if said.isascii() and said.isdigit() else 1


def _text_of(cell: Any) -> str:
    """All text; what a block ends is parted by a space."""
    parts: list[str] = []
    for event, element in etree.iterwalk(cell, events=("start", "end")):
        if event == "start":
            parts.extend((" " if element.tag in _BLOCKS else "", element.text or ""))
        else:
            parts.extend((" " if element.tag in _BLOCKS else "", (element.tail or "") if element is not cell else ""))
    return " ".join("".join(parts).split())
