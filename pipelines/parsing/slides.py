"""PowerPoint: slides as pages, with tables, charts as tables, notes, and what pictures are said to show."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from lxml import etree
from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER
from pptx.exc import PackageNotFoundError

from core.errors import BadRequest
from pipelines.parsing.draft import Draft

_TITLES = frozenset({PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.CENTER_TITLE, PP_PLACEHOLDER.VERTICAL_TITLE})
_FURNITURE = frozenset({PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER})
_MAX_DEPTH = 20
_MARGIN = 0.02  # of a slide's width, by which columns may overlap


def read_slides(content: bytes, draft: Draft) -> None:
    """Visible slides in order; of each the title, then columns from left to right, then the notes. Hidden slides are named."""
    try:
        presentation = Presentation(io.BytesIO(content))
        slides = list(presentation.slides)
    except (PackageNotFoundError, KeyError, ValueError, AttributeError, etree.XMLSyntaxError) as error:
        message = f"It is not a presentation that can be read ({error}). Save it as .pptx again."
        raise BadRequest(message) from error
    draft.title = presentation.core_properties.title or ""
    draft.describe("author", presentation.core_properties.author)
    draft.pages = len(slides)
    for number, slide in enumerate(slides, 1):
        if slide.element.get("show") == "0":
            draft.miss(f"Slide {number} is hidden and was left out.")
            continue
        draft.page = number
        shapes = list(_flatten(slide.shapes, 0))
        title = next((shape for shape in shapes if _role(shape) in _TITLES and shape.text_frame.text.strip()), None)
        if title is not None:
            draft.add_title(title.text_frame.text, 1)
        width = presentation.slide_width or 1
        for shape in _in_reading_order([shape for shape in shapes if shape is not title and _role(shape) not in _FURNITURE], width):
            _add_shape(shape, draft)
        if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None and frame.text.strip():
            draft.add_text(f"[Notes: {frame.text.strip()}]")
    draft.page = None


def _flatten(shapes: Iterable[Any], depth: int) -> Iterator[Any]:
    for shape in shapes:
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP and depth < _MAX_DEPTH:
            yield from _flatten(shape.shapes, depth + 1)
        else:
            yield shape


def _role(shape: Any) -> Any:
    return shape.placeholder_format.type if shape.is_placeholder else None


def _in_reading_order(shapes: list[Any], width: int) -> list[Any]:
    """From top to bottom what reaches over columns; between these, column by column what stands side by side."""
    ordered: list[Any] = []
    columns: list[tuple[float, float, list[Any]]] = []

    def end_columns() -> None:
        for _, _, members in sorted(columns, key=lambda column: column[0]):
            ordered.extend(members)
        columns.clear()

    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        left = (shape.left or 0) / width
        right = left + (shape.width or 0) / width
        over = [column for column in columns if left < column[1] - _MARGIN and column[0] < right - _MARGIN]
        if len(over) > 1:
            end_columns()
            over = []
        members = [*(over[0][2] if over else []), shape]
        if over:
            columns.remove(over[0])
            left, right = min(left, over[0][0]), max(right, over[0][1])
        columns.append((left, right, members))
    end_columns()
    return ordered


def _add_shape(shape: Any, draft: Draft) -> None:
    described = _describe(shape)
    if shape.has_text_frame:
        _add_text(shape, draft)
    elif getattr(shape, "has_table", False):
        _add_table(shape.table, draft)
    elif getattr(shape, "has_chart", False):
        _add_chart(shape.chart, described, draft)
        return
    elif shape.shape_type in {MSO_SHAPE_TYPE.MEDIA, MSO_SHAPE_TYPE.EMBEDDED_OLE_OBJECT, MSO_SHAPE_TYPE.LINKED_OLE_OBJECT}:
        draft.miss(f"An embedded object on slide {draft.page} was left out.")
    elif shape.shape_type == MSO_SHAPE_TYPE.PICTURE and not described:
        draft.miss(f"A picture without a description on slide {draft.page} was left out.")
    elif shape.element.tag.endswith("}graphicFrame"):
        draft.miss(f"A diagram on slide {draft.page} was left out.")
    if described:
        draft.add_text(f"[Image: {described}]")


def _describe(shape: Any) -> str:
    """Its alternative text."""
    return next((str(found.get("descr") or "").strip() for found in shape.element.iter() if str(found.tag).endswith("}cNvPr")), "")


def _add_text(shape: Any, draft: Draft) -> None:
    """A body with several paragraphs is a list, as slides show it."""
    paragraphs = [paragraph for paragraph in shape.text_frame.paragraphs if paragraph.text.strip()]
    for paragraph in paragraphs:
        text = "".join(f"^{run.text}" if _is_raised(run) else run.text for run in paragraph.runs) or paragraph.text
        if len(paragraphs) > 1 and shape.is_placeholder:
            draft.add_item(text, paragraph.level + 1)
        else:
            draft.add_text(text.replace("\v", "\n"))


def _is_raised(run: Any) -> bool:
    return int(run.font._element.get("baseline") or 0) > 0  # noqa: SLF001 - python-pptx has no other way


def _add_table(table: Any, draft: Draft) -> None:
    """A merged cell's text stands in all of its places."""
    grid = [[cell.text for cell in row.cells] for row in table.rows]
    for row_place, row in enumerate(table.rows):
        for place, cell in enumerate(row.cells):
            if cell.is_merge_origin:
                for other in grid[row_place : row_place + cell.span_height]:
                    other[place : place + cell.span_width] = [cell.text] * cell.span_width
    first = int(bool(table.first_row) and len(grid) > 1)
    draft.add_table(grid[0] if first else [], grid[first:])


def _add_chart(chart: Any, described: str, draft: Draft) -> None:
    """Categories and the values of each series."""
    title = chart.chart_title.text_frame.text if chart.has_title and chart.chart_title.has_text_frame else ""
    caption = f"Chart: {title or described}".rstrip(": ")
    for plot in chart.plots:
        series = list(plot.series)
        values = [list(one.values) for one in series]
        names = [str(category) for category in plot.categories] or [str(place) for place in range(1, max(map(len, values), default=0) + 1)]
        rows = [
            [name, *("" if place >= len(one) or one[place] is None else f"{one[place]:.15g}" for one in values)]
            for place, name in enumerate(names)
        ]
        draft.add_table(["", *(str(one.name) for one in series)], rows, caption)
