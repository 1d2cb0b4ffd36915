import json

import pytest

from tests.pipelines.parsing.reading import outline, read, refuse, tables, texts


def test_records_that_are_alike_are_a_table_with_numbers_as_written() -> None:
    (table,) = tables(read("a.json", '[{"id": 12345678901234567890, "price": 1.10}, {"id": 2, "price": null, "note": "n"}]'))
    assert table.header == ("id", "price", "note")
    assert table.rows == (("12345678901234567890", "1.10", ""), ("2", "null", "n"))


def test_each_value_says_where_it_stands() -> None:
    document = read("a.json", '{"user": {"name": "Ada", "tags": ["x", {"y": true}]}, "user": 1, "none": []}')
    assert texts(document) == ["user.name: Ada\nuser.tags[0]: x\nuser.tags[1].y: true", "user: 1", "none: []"]


def test_a_lone_surrogate_can_be_stored() -> None:
    assert texts(read("a.json", '"x\\ud800y"')) == ["x?y"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a":', "not JSON: Expecting value at line 1"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deeply"),
    ],
)
def test_broken_or_deep_json_is_refused(content: str, reason: str) -> None:
    assert reason in refuse("a.json", content)


def test_lines_of_json_are_a_table_and_bad_lines_are_named() -> None:
    document = read("a.ndjson", '{"a": 1}\n\n{"a": 2}\n{"a": \n{"a": 3}\n')
    assert tables(document)[0].rows == (("1",), ("2",), ("3",))
    assert document.missing == ("Line 4 is not JSON and was left out.",)
    assert "Most of its lines are not JSON" in refuse("a.jsonl", "this\nis\nprose\n")


def test_notebooks_are_prose_code_and_output() -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "Some *prose*."]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [
                {"output_type": "stream", "text": ["1\n"]},
                {"output_type": "display_data", "data": {"image/png": "iVBOR", "text/plain": "<Figure>"}},
                {"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": []},
            ],
        },
    ]
    document = read("a.ipynb", json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}))
    assert outline(document) == [
        ("title", "Title"),
        ("text", "Some prose."),
        ("code", "print(1)"),
        ("code", "1"),
        ("code", "<Figure>"),
        ("code", "ValueError: bad"),
    ]
    assert document.missing == ("An output of cell 2 was left out: image/png.",)
    assert "not a notebook" in refuse("a.ipynb", "{}")


def test_xml_keeps_attributes_and_names() -> None:
    document = read(
        "a.xml", '<?xml version="1.0"?><c v="1"><book isbn="04"><title>Dune</title><p>in <b id="i">bold</b> type</p></book></c>'
    )
    assert texts(document) == ["c@v: 1", "book@isbn: 04\nbook/title: Dune\nbook/p: in bold type\nbook/p//b@id: i"]


def test_entities_of_xml_stay_small_and_inside_of_the_file() -> None:
    growing = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    assert "amplification" in refuse("a.xml", f'<!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">{growing}]><x>&e8;</x>')
    assert "not defined" in refuse("a.xml", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>')
    assert texts(read("a.xml", '<!DOCTYPE x [<!ENTITY a "Hi">]><x><y>&a; you</y></x>')) == ["y: Hi you"]


@pytest.mark.parametrize("content", ["<a>" * 5000 + "x" + "</a>" * 5000, "<a><b>text", "no xml"])
def test_broken_or_deep_xml_is_refused(content: str) -> None:
    assert "not XML that can be read" in refuse("a.xml", content)
