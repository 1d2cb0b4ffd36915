import pytest

from core.models.documents import ElementKind
from tests.pipelines.parsing.reading import outline, read, refuse, tables, texts


def test_all_of_a_page_with_a_main_part_is_read_and_navigation_named() -> None:
    document = read("a.html", "<title>T</title><nav>Menu</nav><header>Top</header><main><p>Core</p></main><footer>End</footer>")
    assert texts(document) == ["Top", "Core", "End"]
    assert (document.title, document.missing) == ("T", ("Left out: its navigation.",))


def test_what_says_that_it_is_navigation_is_that() -> None:
    document = read("a.html", '<div role="navigation">Menu</div><div role="main"><p>Core</p></div>')
    assert (texts(document), document.missing) == (["Core"], ("Left out: its navigation.",))


def test_headings_that_lead_back_to_the_contents_stay_and_their_links_to_themselves_go() -> None:
    page = """<h2><a href="#id1" role="doc-backlink">Why <em>is</em> it so?</a><a href="#why" title="Permalink">\N{PILCROW SIGN}</a></h2>
    <p>So<a href="#n1">1</a>, <a href="#plus">+</a>.</p>
    <p><a href="#r1" role="doc-backlink">1</a> A note. <a href="#r1" role="doc-backlink">↩</a></p>"""
    document = read("a.html", page)
    assert outline(document) == [("title", "Why is it so?"), ("text", "So1, +."), ("text", "1 A note.")]
    assert document.title == "Why is it so?"


def test_forms_figures_and_details_keep_their_blocks() -> None:
    page = """<form><p>In a form</p></form><figure><img src=x alt="A pump"><figcaption>Figure 1</figcaption></figure>
    <details><summary>More</summary><p>Inner</p></details>"""
    assert texts(read("a.html", page)) == ["In a form", "[Image: A pump]", "Figure 1", "More", "Inner"]


def test_what_is_hidden_is_left_out() -> None:
    page = '<p>Seen</p><p hidden>No</p><div style="display: none"><p>No</p></div><script>no()</script><template>No</template>'
    assert texts(read("a.html", page)) == ["Seen"]


def test_unknown_elements_are_unwrapped() -> None:
    page = "<my-app><my-part><p>Block</p></my-part></my-app><p>an <x-y>inline</x-y> word</p>"
    assert texts(read("a.html", page)) == ["Block", "an inline word"]


def test_powers_and_numbers_of_lists_are_written_out() -> None:
    page = "<p>500<sup>1</sup></p><ol start=3><li>c<li><p>d</p><p>more</p></ol><ul><li>x<ul><li>y</ul></ul>"
    document = read("a.html", page)
    assert outline(document) == [
        ("text", "500^1"), ("list_item", "3. c"), ("list_item", "4. d"), ("text", "more"), ("list_item", "x"), ("list_item", "y"),
    ]  # fmt: skip
    assert [element.level for element in document.elements] == [0, 1, 1, 0, 1, 2]


def test_spans_are_filled_and_links_and_alt_texts_stay_in_tables() -> None:
    page = """<table><caption>Pumps</caption><tr><th rowspan=2>A</th><th colspan=2>B</th></tr><tr><th>b1</th><th>b2</th></tr>
    <tr><td rowspan=2>1<td>2<td><a href="https://example.org/">3</a></tr><tr><td><p>4</p><p>5</p><td><img alt=seal src=q></tr></table>"""
    (table,) = tables(read("a.html", page))
    assert (table.text, table.header) == ("Pumps", ("A", "B / b1", "B / b2"))
    assert table.rows == (("1", "2", "3 (https://example.org/)"), ("1", "4 5", "[Image: seal]"))


def test_marks_of_ours_in_a_page_do_no_harm() -> None:
    assert len(read("a.html", "<p>\ue0f0t0\ue0f1x</p><p>&#xe0f0;t7&#xe0f1;y</p><p>&#xe0f0;h9&#xe0f1;z</p>").elements) == 3


def test_characters_that_xml_does_not_allow_do_no_harm() -> None:
    page = '<p>a&#1;b&#0;c</p><img alt="d&#2;e" src=x><table><tr><td>f&#3;</td></tr><tr><td>g</td></tr></table>\ud800'
    assert texts(read("a.html", page.encode("utf-8", "surrogatepass")))[0].split()[0] == "a"


def test_tables_for_the_layout_are_taken_apart() -> None:
    page = "<table><tr><td><h1>Title</h1><table><tr><td>k</td><td>5</td></tr><tr><td>m</td><td>6</td></tr></table></td></tr></table>"
    document = read("a.html", page)
    assert document.elements[0].kind is ElementKind.TITLE
    assert tables(document)[0].rows == (("k", "5"), ("m", "6"))


def test_lines_of_code_stay_lines_and_only_headings_are_titles() -> None:
    document = read("a.html", "<h2>Use <code>x</code></h2><pre>def f():\n    <b>pass</b></pre><p>Short Text</p><div>Y</div>")
    assert outline(document) == [("title", "Use x"), ("code", "def f():\n    pass"), ("text", "Short Text"), ("text", "Y")]
    assert document.elements[0].level == 2


@pytest.mark.parametrize(
    "content",
    [
        b"<meta charset=iso-8859-1><p>caf\xe9 \x80",
        '<?xml version="1.0" encoding="utf-8"?><html><p>café €'.encode(),
        "<p>café €".encode("utf-16"),
        "<meta charset=windows-1251><p>café €".encode(),
    ],
)
def test_the_encoding_is_the_declared_one_or_the_real_one(content: bytes) -> None:
    assert texts(read("a.html", content)) == ["café €"]


def test_what_is_shown_but_no_text_is_named() -> None:
    document = read("a.html", '<p>x</p><iframe src="https://example.org/map"></iframe><video>old</video><img src=y>')
    assert document.missing == (
        "Left out: a page shown in it (https://example.org/map).",
        "Left out: a film shown in it.",
        "Pictures without a description were left out.",
    )


@pytest.mark.parametrize("content", ["<div>" * 100_000 + "deep", "<table><tr><td>" * 3000 + "deep", "<b>" * 100_000 + "deep"])
def test_pages_that_are_nested_too_deeply_are_refused(content: str) -> None:
    assert "nested too deeply" in refuse("a.html", content)


def test_deep_pages_are_read_as_far_as_libxml2_reads_them() -> None:
    assert texts(read("a.html", "<div>" * 200 + "deep" + "</div>" * 200)) == ["deep"]


def test_a_span_of_a_million_columns_costs_little() -> None:
    (table,) = tables(read("a.html", "<table><tr><th>a<th>b</tr>" + "<tr><td colspan=1000000 rowspan=1000000>x<td>y</tr>" * 5 + "</table>"))
    assert max(map(len, table.rows)) <= 1000
