import io
from collections.abc import Callable
from typing import Any

import pptx
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.presentation import Presentation
from pptx.util import Inches

from tests.pipelines.parsing.reading import outline, read, refuse, tables, texts

TITLE_AND_BODY, BLANK = 1, 6


def write(fill: Callable[[Presentation], object]) -> bytes:
    presentation = pptx.Presentation()
    fill(presentation)
    content = io.BytesIO()
    presentation.save(content)
    return content.getvalue()


def add_slide(presentation: Presentation, layout: int = BLANK) -> Any:
    return presentation.slides.add_slide(presentation.slide_layouts[layout])


def add_box(slide: Any, text: str, left: float, top: float, width: float = 3) -> None:
    slide.shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(0.5)).text_frame.text = text


def test_slides_are_pages_with_titles_lists_and_notes() -> None:
    def fill(presentation: Presentation) -> None:
        add_slide(presentation)
        slide = add_slide(presentation, TITLE_AND_BODY)
        slide.shapes.title.text = "Pumps"
        slide.placeholders[1].text = "first\nsecond"
        slide.notes_slide.notes_text_frame.text = "Speak slowly"

    document = read("a.pptx", write(fill))
    assert outline(document) == [("title", "Pumps"), ("list_item", "first"), ("list_item", "second"), ("text", "[Notes: Speak slowly]")]
    assert {element.page for element in document.elements} == {2}
    assert document.pages == 2


def test_columns_are_read_one_after_the_other() -> None:
    def fill(presentation: Presentation) -> None:
        slide = add_slide(presentation)
        for text, left, top, width in (
            ("right 1", 5, 1, 3), ("left 1", 1, 1.1, 3), ("right 2", 5, 2, 3), ("left 2", 1, 2.1, 3),
            ("below both", 1, 3, 7), ("after", 5, 4, 3),
        ):  # fmt: skip
            add_box(slide, text, left, top, width)

    assert texts(read("a.pptx", write(fill))) == ["left 1", "left 2", "right 1", "right 2", "below both", "after"]


def test_charts_are_tables() -> None:
    def fill(presentation: Presentation) -> None:
        data: Any = CategoryChartData()  # type: ignore[no-untyped-call]
        data.categories = ["Q1", "Q2"]
        data.add_series("Sales", (1.5, None))
        data.add_series("Cost", (3, 4))
        frame = add_slide(presentation).shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(3), Inches(3), data)
        frame.chart.has_title = True
        frame.chart.chart_title.text_frame.text = "Revenue"

    (table,) = tables(read("a.pptx", write(fill)))
    assert (table.text, table.header) == ("Chart: Revenue", ("", "Sales", "Cost"))
    assert table.rows == (("Q1", "1.5", "3"), ("Q2", "", "4"))


def test_merged_cells_are_filled_and_alt_texts_stay() -> None:
    def fill(presentation: Presentation) -> None:
        slide = add_slide(presentation)
        frame = slide.shapes.add_table(2, 2, 0, 0, Inches(3), Inches(1))
        for place, name in enumerate(("a", "b")):
            frame.table.cell(0, place).text = name
        frame.table.cell(1, 0).text = "both"
        frame.table.cell(1, 0).merge(frame.table.cell(1, 1))
        frame._element.nvGraphicFramePr.cNvPr.set("descr", "A table of two")

    document = read("a.pptx", write(fill))
    assert tables(document)[0].rows == (("both", "both"),)
    assert texts(document)[-1] == "[Image: A table of two]"


def test_hidden_slides_are_named() -> None:
    def fill(presentation: Presentation) -> None:
        add_box(add_slide(presentation), "Seen", 1, 1)
        hidden = add_slide(presentation)
        add_box(hidden, "Not seen", 1, 1)
        hidden._element.set("show", "0")

    document = read("a.pptx", write(fill))
    assert texts(document) == ["Seen"]
    assert document.missing == ("Slide 2 is hidden and was left out.",)


def test_truncated_presentations_are_refused() -> None:
    content = write(add_slide)
    assert "damaged or ends too early" in refuse("a.pptx", content[: len(content) // 2])
    assert "No text was found" in refuse("a.pptx", content)
