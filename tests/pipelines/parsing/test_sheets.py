import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment

from pipelines.parsing.sheets import show_value
from tests.pipelines.parsing.reading import outline, read, refuse, tables


def write_book(fill: Callable[[openpyxl.Workbook], None]) -> bytes:
    book = openpyxl.Workbook()
    fill(book)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def test_blocks_side_by_side_are_tables_of_their_own() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        for row in (["name", "n", None, "key", "v"], ["a", 1, None, "x", 3], ["b", 2, None, "y", 4]):
            book.active.append(row)

    found = tables(read("a.xlsx", write_book(fill)))
    assert [(table.header, table.rows) for table in found] == [
        (("name", "n"), (("a", "1"), ("b", "2"))),
        (("key", "v"), (("x", "3"), ("y", "4"))),
    ]


def test_rows_at_the_edge_stay_with_their_table() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        for row in (["Prices 2024"], ["name", "price"], ["a", 1], ["b", 2], ["Total"], [], ["c", 3]):
            book.active.append(row)

    first, second = tables(read("a.xlsx", write_book(fill)))
    assert (first.text, first.header, first.rows[-1]) == ("Prices 2024", ("name", "price"), ("Total", ""))
    assert (second.header, second.rows) == (("name", "price"), (("c", "3"),))


def test_merged_areas_are_filled() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        sheet = book.active
        for row in (["region", "city", "n"], ["North", "A", 1], [None, "B", 2]):
            sheet.append(row)
        sheet.merge_cells("A2:A3")

    (table,) = tables(read("a.xlsx", write_book(fill)))
    assert table.rows == (("North", "A", "1"), ("North", "B", "2"))


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (0.123456789012, "General", "0.123456789012"),
        (0.1 + 0.2, "General", "0.3"),
        (1234567.891234, "#,##0.00", "1234567.891234"),
        (0.123456789, "0.0%", "12.3456789%"),
        (0.5, "0%", "50%"),
        (1234.5, '#,##0.00 "€"', "1234.50 €"),
        (2, "[$€-407] #,##0.00", "€ 2"),
        (1e-7, "General", "0.0000001"),
        (-3, '"$"#,##0;[Red]-"$"#,##0', "$-3"),
        (12345678901234567890, "0", "12345678901234567890"),
        (True, "General", "TRUE"),
        (datetime(2024, 1, 2), "yyyy-mm-dd", "2024-01-02"),  # noqa: DTZ001 - Excel knows no zones
        (datetime(2024, 1, 2, 3, 4), "General", "2024-01-02 03:04:00"),  # noqa: DTZ001
        (date(2024, 1, 2), "General", "2024-01-02"),
        (time(3, 4), "General", "03:04:00"),
        (None, "General", ""),
    ],
)
def test_numbers_keep_their_digits_and_signs(value: object, number_format: str, shown: str) -> None:
    assert show_value(value, number_format) == shown


def test_hidden_sheets_charts_and_formulas_without_a_value_are_named() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        sheet = book.active
        sheet.title = "Seen"
        for row in (["n", "twice"], [1, "=A2*2"]):
            sheet.append(row)
        chart = BarChart()
        chart.add_data(Reference(sheet, min_col=1, min_row=1, max_row=2))
        sheet.add_chart(chart, "D1")
        hidden = book.create_sheet("Secret")
        hidden["A1"] = "nobody"
        hidden.sheet_state = "hidden"

    document = read("a.xlsx", write_book(fill))
    assert document.missing == (
        "The cell B2 of the sheet Seen has a formula without a computed value. Save the file with Excel.",
        "The sheet Seen has 1 chart, which cannot be read.",
        "The sheet Secret is hidden and was left out.",
    )
    assert outline(document)[0] == ("title", "Seen")
    assert "nobody" not in str(document.elements)


def test_comments_and_links_stay() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        sheet = book.active
        sheet["A1"] = "docs"
        sheet["A1"].hyperlink = "https://example.org/"
        sheet["A2"] = 5
        sheet["A2"].comment = Comment("estimated", "Ada")

    (table,) = tables(read("a.xlsx", write_book(fill)))
    assert table.header == ("docs (https://example.org/)",)
    assert table.rows == (("5 [Comment: estimated]",),)


def test_a_cell_far_away_costs_nothing() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active["A1"] = "near"
        book.active["XFD1048576"] = "far"

    assert [cell for table in tables(read("a.xlsx", write_book(fill))) for row in table.rows for cell in row] == ["near", "far"]


def test_areas_of_billions_of_cells_are_refused() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active["A1"] = "x"
        book.active.merge_cells("A1:B2")

    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(write_book(fill))) as archive, zipfile.ZipFile(content, "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, archive.read(name).replace(b'"A1:B2"', b'"A1:XFD1048576"'))
    assert "too wide an area" in refuse("a.xlsx", content.getvalue())


def test_an_empty_book_and_a_damaged_one_are_refused() -> None:
    assert "damaged or ends too early" in refuse("a.xlsx", write_book(lambda _: None)[:3000])
