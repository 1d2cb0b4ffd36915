from tests.pipelines.parsing.reading import outline, read, refuse, tables, texts


def test_lists_and_tables_need_no_blank_line_before_them() -> None:
    document = read("a.md", "Take these:\n- one\n- two\n  1. inner\n\nAs a table\n\n| a | b |\n|---|---|\n| 1 | `2` |\n")
    assert outline(document)[:5] == [
        ("text", "Take these:"), ("list_item", "one"), ("list_item", "two"), ("list_item", "1. inner"), ("text", "As a table"),
    ]  # fmt: skip
    assert [element.level for element in document.elements[1:4]] == [1, 1, 2]
    assert (tables(document)[0].header, tables(document)[0].rows) == (("a", "b"), (("1", "2"),))


def test_a_fence_inside_of_a_list_item_keeps_its_lines() -> None:
    document = read("a.md", "7. Run:\n   ```py\n   def f():\n       pass\n   ```\n")
    assert outline(document) == [("list_item", "7. Run:"), ("code", "def f():\n    pass")]


def test_front_matter_becomes_metadata() -> None:
    document = read("a.md", '---\ntitle: "The manual"\ntags: [a, b]\n---\n# First\nText.\n')
    assert document.title == "The manual"
    assert document.metadata == {"title": "The manual", "tags": "[a, b]"}
    assert outline(document) == [("title", "First"), ("text", "Text.")]


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert texts(read("a.md", "---\nJust a sentence.\n\n---\nAnother.\n"))[-1] == "Another."


def test_powers_links_and_pictures_stay() -> None:
    document = read("a.md", "500<sup>1</sup> see [docs](https://example.org/x), [here](#there) ![A pump](p.png)\n")
    assert texts(document) == ["500^1 see docs (https://example.org/x), here [Image: A pump]"]


def test_deep_lists_are_read_and_those_too_deep_refused() -> None:
    assert outline(read("a.md", "- " * 20 + "x")) == [("list_item", "x")]
    for beginning in (">", "- "):
        assert "nested too deeply" in refuse("a.md", beginning * 5000 + "x")


def test_headings_have_levels_and_the_first_is_the_title() -> None:
    document = read("a.md", "Setext\n======\n### Deep *one*\nx")
    assert [(element.text, element.level) for element in document.elements] == [("Setext", 1), ("Deep one", 3), ("x", 0)]
    assert document.title == "Setext"
