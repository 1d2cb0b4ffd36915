import pytest

from core.models.documents import ElementKind
from tests.pipelines.parsing.reading import read, tables


def test_a_file_with_one_column_is_not_cut_at_a_letter() -> None:
    (table,) = tables(read("a.csv", "email\nada@example.org\nbob@example.org\n"))
    assert (table.header, table.rows) == (("email",), (("ada@example.org",), ("bob@example.org",)))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_are_parted_by_what_most_lines_have(delimiter: str) -> None:
    lines = [("name", "note"), ("Ada", f'"one{delimiter} two\nlines ""quoted"""'), ("Bob", "x"), ("Cy", "y")]
    (table,) = tables(read("a.csv", "\n".join(delimiter.join(line) for line in lines)))
    assert table.header == ("name", "note")
    assert table.rows[0] == ("Ada", f'one{delimiter.strip() or " "} two lines "quoted"'.replace("  ", " "))
    assert len(table.rows) == 3


def test_commas_in_numbers_part_nothing() -> None:
    (table,) = tables(read("a.csv", "name;price\nx;1,5\ny;2,5\n"))
    assert (table.header, table.rows) == (("name", "price"), (("x", "1,5"), ("y", "2,5")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_excel_are_read(encoding: str) -> None:
    (table,) = tables(read("a.csv", "Größe;Preis\nklein;5 €\n".encode(encoding)))
    assert (table.header, table.rows) == (("Größe", "Preis"), (("klein", "5 €"),))


def test_the_separator_line_of_excel_is_obeyed() -> None:
    (table,) = tables(read("a.csv", "sep=|\na|b,c\n1|2,3\n"))
    assert table.header == ("a", "b,c")


def test_numbers_in_the_first_row_make_it_no_header() -> None:
    (table,) = tables(read("a.tsv", "1\t2024-01-02\n2\t2024-01-03\n"))
    assert (table.header, len(table.rows)) == ((), 2)


def test_long_cells_and_uneven_rows_are_kept() -> None:
    (table,) = tables(read("a.csv", f"a,b\n{'x' * 200_000},1\n1,2\n2\n3,4,5\n"))
    assert [len(row) for row in table.rows] == [2, 2, 1, 3]


def test_letters_are_text_and_no_table() -> None:
    assert [element.kind for element in read("a.txt", "Dear Ada, Bob,\nhow, are, you\n").elements] == [ElementKind.TEXT]
