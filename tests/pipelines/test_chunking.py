import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models.documents import Element, ElementKind, ParsedDocument
from pipelines.chunking import VERSION, chunk


def count_words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def count_pieces(text: str) -> int:
    """Like a subword tokenizer, whose tokens of two texts are not those of both together."""
    return sum(-(-len(word) // 3) for word in text.split()) + 2


def title(text: str, level: int) -> Element:
    return Element(kind=ElementKind.TITLE, text=text, level=level)


def paragraph(text: str, page: int | None = None) -> Element:
    return Element(kind=ElementKind.TEXT, text=text, page=page)


def item(text: str) -> Element:
    return Element(kind=ElementKind.LIST_ITEM, text=text, level=1)


def table(header: tuple[str, ...], *rows: tuple[str, ...]) -> Element:
    return Element(kind=ElementKind.TABLE, header=header, rows=rows)


def document(*elements: Element) -> ParsedDocument:
    return ParsedDocument(format="text", elements=elements)


def texts(parsed: ParsedDocument, max_tokens: int = 20, overlap_tokens: int = 0) -> list[str]:
    return [found.text for found in chunk(parsed, count_words, max_tokens=max_tokens, overlap_tokens=overlap_tokens)]


def test_the_path_of_headings_stands_before_each_chunk() -> None:
    parsed = document(title("Pumps", 1), title("Oil", 2), paragraph("Change it yearly."), title("Seals", 2), paragraph("Check them."))
    found = chunk(parsed, count_words, max_tokens=40, overlap_tokens=0)
    assert [part.text for part in found] == ["Pumps > Oil\n\nChange it yearly.", "Pumps > Seals\n\nCheck them."]
    assert [part.headings for part in found] == [("Pumps", "Oil"), ("Pumps", "Seals")]
    assert [part.position for part in found] == [0, 1]


def test_a_heading_with_nothing_below_it_is_a_chunk() -> None:
    assert texts(document(title("A", 1), title("B", 1), paragraph("text"), title("C", 2))) == ["A", "B\n\ntext", "B\n\nC"]


def test_a_heading_too_long_to_be_repeated_stands_whole_once() -> None:
    long = " ".join(f"word{number}" for number in range(12))
    found = texts(document(title(long, 1), paragraph("Below.")))
    assert found[0].endswith(long + "\n\nBelow.")


def test_paragraphs_that_fit_stand_together_and_lists_stay_lists() -> None:
    assert texts(document(paragraph("Take:"), item("- one"), item("- two"), paragraph("End."))) == ["Take:\n\n- one\n- two\n\nEnd."]


def test_pages_and_kinds_are_those_of_the_elements() -> None:
    found = chunk(document(paragraph("a", 2), paragraph("b", 3), table(("h",), ("v",))), count_words, max_tokens=9, overlap_tokens=0)
    assert [(part.pages, part.kind) for part in found] == [((2, 3), ElementKind.TEXT), ((), ElementKind.TABLE)]


def test_text_that_is_cut_overlaps_by_whole_sentences() -> None:
    sentences = [f"Sentence number {number} is here." for number in range(5)]
    found = texts(document(paragraph(" ".join(sentences))), max_tokens=18, overlap_tokens=6)
    assert found == [" ".join(sentences[:2]), " ".join(sentences[1:4]), " ".join(sentences[3:])]


def test_rows_stay_whole_and_each_chunk_has_the_header() -> None:
    rows = [(f"How do I do thing {number}?", f"Like this {number}.") for number in range(6)]
    found = texts(document(table(("Question", "Answer"), *rows)), max_tokens=30)
    assert len(found) > 2
    assert all(part.startswith("Question | Answer\n") for part in found)
    assert [line for part in found for line in part.split("\n")[1:]] == [" | ".join(row) for row in rows]


def test_a_long_cell_is_cut_inside_of_it_and_the_other_cells_are_repeated() -> None:
    answer = " ".join(f"step{number}" for number in range(40))
    found = texts(document(table(("Question", "Answer"), ("How?", answer), ("Why?", "Because."))), max_tokens=20)
    assert all(part.startswith("Question | Answer\nHow? | ") for part in found[:-1])
    assert " ".join(part.removeprefix("Question | Answer\nHow? | ") for part in found[:-1]) == answer
    assert found[-1] == "Question | Answer\nWhy? | Because."


def test_a_header_too_long_to_be_repeated_stands_once() -> None:
    header = tuple(f"column{number}" for number in range(30))
    found = texts(document(table(header, tuple("x" * 30))))
    assert all(name in "\n".join(found) for name in header)


def test_code_keeps_its_indentation() -> None:
    code = Element(kind=ElementKind.CODE, text="def f():\n    if x:\n        return 1\n    return 2")
    assert texts(document(code), max_tokens=8) == ["def f():\n    if x:", "        return 1\n    return 2"]


@pytest.mark.parametrize(("most", "overlap"), [(0, 0), (5, 5), (5, -1)])
def test_limits_without_sense_are_refused(most: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap_tokens"):
        chunk(document(), count_words, max_tokens=most, overlap_tokens=overlap)


def test_the_way_to_cut_has_a_version() -> None:
    assert VERSION >= 1


WORDS = st.text(alphabet="ab.,\n é|", min_size=1, max_size=120).filter(str.strip)
CELLS = st.lists(st.text(alphabet="ab. é", max_size=60), min_size=1, max_size=4).map(tuple).filter(lambda row: any(map(str.strip, row)))
ELEMENTS = st.one_of(
    st.builds(title, WORDS, st.integers(1, 4)),
    st.builds(paragraph, WORDS),
    st.builds(item, WORDS),
    st.builds(lambda text: Element(kind=ElementKind.CODE, text=text), WORDS),
)
TABLES = st.builds(lambda header, rows: table(header, *rows), CELLS, st.lists(CELLS, max_size=5))
COUNTERS = st.sampled_from([count_words, count_pieces, len])


def letters(text: str) -> str:
    return "".join(text.split())


@given(st.lists(st.one_of(ELEMENTS, TABLES), max_size=8), COUNTERS, st.integers(12, 60), st.integers(0, 11))
def test_no_chunk_is_over_the_limit_and_positions_count(
    elements: list[Element], count: Callable[[str], int], most: int, overlap: int
) -> None:
    found = chunk(document(*elements), count, max_tokens=most, overlap_tokens=overlap)
    assert all(count(part.text) <= most for part in found)
    assert [part.position for part in found] == list(range(len(found)))


@given(st.lists(ELEMENTS.filter(lambda element: element.kind is not ElementKind.TITLE), max_size=8), COUNTERS, st.integers(12, 60))
def test_without_overlap_all_text_is_there_once_and_in_order(elements: list[Element], count: Callable[[str], int], most: int) -> None:
    found = chunk(document(*elements), count, max_tokens=most, overlap_tokens=0)
    assert letters("".join(part.text for part in found)) == letters("".join(element.text for element in elements))


@given(st.lists(st.one_of(ELEMENTS, TABLES), max_size=8), COUNTERS, st.integers(12, 60), st.integers(0, 11))
def test_no_text_is_lost(elements: list[Element], count: Callable[[str], int], most: int, overlap: int) -> None:
    """Each character of each element is there, in order: other text may stand between, which is repeated."""
    found = letters("".join(part.text for part in chunk(document(*elements), count, max_tokens=most, overlap_tokens=overlap)))
    for element in elements:
        for text in (element.text, *element.header, *(cell for row in element.rows for cell in row)):
            remaining = iter(found)
            assert all(letter in remaining for letter in letters(text))
