import io
import zipfile
from collections.abc import Callable

import docx
from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_BREAK
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import parse_xml

from tests.pipelines.parsing.reading import outline, read, refuse, tables, texts

NAMES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
    ' xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)


def write(fill: Callable[[Document], object]) -> bytes:
    document = docx.Document()
    fill(document)
    content = io.BytesIO()
    document.save(content)
    return content.getvalue()


def write_paragraph(*parts: str) -> bytes:
    """One paragraph of these parts, in XML."""

    def fill(document: Document) -> None:
        paragraph = document.add_paragraph("Start")
        for part in parts:
            name, rest = part.split(" ", 1) if " " in part.split(">", 1)[0] else part.split(">", 1)
            joint = " " if " " in part.split(">", 1)[0] else ">"
            paragraph._p.append(parse_xml(f"{name} {NAMES}{joint}{rest}"))

    return write(fill)


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_changes_are_accepted() -> None:
    content = write_paragraph(
        f'<w:ins w:id="1">{run(" new")}</w:ins>', '<w:del w:id="2"><w:r><w:delText>old</w:delText></w:r></w:del>',
        f'<w:moveFrom w:id="3">{run("from")}</w:moveFrom>', f'<w:moveTo w:id="4">{run(" to")}</w:moveTo>',
    )  # fmt: skip
    assert texts(read("a.docx", content)) == ["Start new to"]


def test_fields_controls_and_formulas_are_text() -> None:
    content = write_paragraph(
        f'<w:fldSimple w:instr="DATE">{run(" field")}</w:fldSimple>',
        f"<w:sdt><w:sdtPr/><w:sdtContent>{run(' control')}</w:sdtContent></w:sdt>",
        "<m:oMath><m:r><m:t> a+b</m:t></m:r></m:oMath>",
    )  # fmt: skip
    assert texts(read("a.docx", content)) == ["Start field control a+b"]


def test_text_boxes_follow_their_paragraph_once() -> None:
    box = f"<w:txbxContent><w:p>{run('In a box')}</w:p></w:txbxContent>"
    content = write_paragraph(
        f"<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing>{box}</w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    assert texts(read("a.docx", content)) == ["Start", "In a box"]


def test_pictures_say_what_they_show_and_charts_are_named() -> None:
    picture = '<w:r><w:drawing><wp:inline><wp:docPr id="1" name="x" descr="A pump"/></wp:inline></w:drawing></w:r>'
    graphic = "<a:graphic><a:graphicData><c:chart/></a:graphicData></a:graphic>"
    chart = f'<w:r><w:drawing><wp:inline><wp:docPr id="2" name="y"/>{graphic}</wp:inline></w:drawing></w:r>'
    document = read("a.docx", write_paragraph(picture, chart))
    assert texts(document) == ["Start[Image: A pump]"]
    assert document.missing == ("A chart was left out.",)


def test_links_say_where_they_lead() -> None:
    def fill(document: Document) -> None:
        target = document.part.relate_to("https://example.org/x", RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
        relation = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
        document.add_paragraph("See ")._p.append(parse_xml(f'<w:hyperlink {NAMES} {relation} r:id="{target}">{run("docs")}</w:hyperlink>'))

    assert texts(read("a.docx", write(fill))) == ["See docs (https://example.org/x)"]


def test_comments_follow_what_they_are_about() -> None:
    def fill(document: Document) -> None:
        paragraph = document.add_paragraph("A claim.")
        document.add_comment(paragraph.runs, "Source?", author="Ada")
        document.add_paragraph("Next.")

    assert texts(read("a.docx", write(fill))) == ["A claim.", "[Comment 1: Ada: Source?]", "Next."]


def test_footnotes_follow_their_paragraph() -> None:
    reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    notes = f"""<w:footnotes {NAMES}><w:footnote w:type="separator" w:id="0"><w:p>{run("---")}</w:p></w:footnote>
    <w:footnote w:id="2"><w:p>{run("The source.")}</w:p></w:footnote></w:footnotes>"""
    content = io.BytesIO(write_paragraph(reference))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("word/footnotes.xml", notes)
    assert texts(read("a.docx", content.getvalue())) == ["Start[Footnote 1]", "[Footnote 1: The source.]"]


def test_headings_of_derived_styles_and_outline_levels_are_titles() -> None:
    def fill(document: Document) -> None:
        style = document.styles.add_style("House heading", WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = document.styles["Heading 2"]
        document.add_heading("Manual", 0)
        document.add_paragraph("Derived", style="House heading")
        level = document.add_paragraph("By level")
        level._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {NAMES} w:val="2"/>'))
        document.add_paragraph("Short Text")

    document = read("a.docx", write(fill))
    assert [(element.kind.value, element.text, element.level) for element in document.elements] == [
        ("title", "Manual", 1), ("title", "Derived", 2), ("title", "By level", 3), ("text", "Short Text", 0),
    ]  # fmt: skip


def test_hard_page_breaks_count_and_count_once() -> None:
    def fill(document: Document) -> None:
        document.add_paragraph("One").add_run().add_break(WD_BREAK.PAGE)
        document.add_paragraph("Two").add_run().add_break(WD_BREAK.PAGE)
        noted = document.add_paragraph()
        noted._p.append(parse_xml(f"<w:r {NAMES}><w:lastRenderedPageBreak/><w:t>Three</w:t></w:r>"))

    document = read("a.docx", write(fill))
    assert [(element.text, element.page) for element in document.elements] == [("One", 1), ("Two", 2), ("Three", 3)]
    assert document.pages == 3


def test_merged_cells_are_filled_and_frames_are_text() -> None:
    def fill(document: Document) -> None:
        table = document.add_table(3, 3)
        for place, name in enumerate(("H1", "H2", "H3")):
            table.cell(0, place).text = name
        table.cell(1, 0).merge(table.cell(2, 0)).text = "both"
        table.cell(1, 1).merge(table.cell(1, 2)).text = "wide"
        table.cell(2, 1).text = "x"
        document.add_table(1, 1).cell(0, 0).text = "Framed"

    document = read("a.docx", write(fill))
    (table,) = tables(document)
    assert (table.header, table.rows) == (("H1", "H2", "H3"), (("both", "wide", "wide"), ("both", "x", "")))
    assert texts(document)[-1] == "Framed"


def test_powers_lists_and_page_headers_stay() -> None:
    def fill(document: Document) -> None:
        document.add_paragraph("500").add_run("1").font.superscript = True
        document.add_paragraph("item", style="List Bullet")
        document.add_paragraph("first", style="List Number")
        document.sections[0].header.paragraphs[0].text = "Confidential"

    assert outline(read("a.docx", write(fill))) == [
        ("text", "Confidential"), ("text", "500^1"), ("list_item", "item"), ("list_item", "1. first"),
    ]  # fmt: skip


def test_documents_with_macros_and_templates_are_read() -> None:
    plain = b"vnd.openxmlformats-officedocument.wordprocessingml.document.main"
    for kind in (b"vnd.ms-word.document.macroEnabled.main", b"vnd.openxmlformats-officedocument.wordprocessingml.template.main"):
        content = io.BytesIO()
        original = io.BytesIO(write(lambda document: document.add_paragraph("text")))
        with zipfile.ZipFile(original) as archive, zipfile.ZipFile(content, "w") as copy:
            for name in archive.namelist():
                copy.writestr(name, archive.read(name).replace(plain, kind))
        assert texts(read("a.docm", content.getvalue())) == ["text"]


def test_marks_of_ours_in_a_file_are_no_headings() -> None:
    assert outline(read("a.docx", write(lambda document: document.add_paragraph("\ue0f0h1\ue0f1x \ue0f0t5\ue0f1")))) == [("text", "h1x t5")]


def test_truncated_documents_are_refused() -> None:
    content = write(lambda document: document.add_paragraph("text"))
    for length in (100, len(content) // 2, len(content) - 10):
        assert "damaged or ends too early" in refuse("a.docx", content[:length])
