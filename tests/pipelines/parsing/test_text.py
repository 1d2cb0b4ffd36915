import pytest

from tests.pipelines.parsing.reading import outline, read, refuse, texts


def test_logs_keep_their_lines_and_are_no_tables() -> None:
    log = "2024-01-02 10:00:00,123 INFO a, b, c\n2024-01-02 10:00:01,456 ERROR d, e\n  Traceback:\n    File x, line 1"
    assert outline(read("server.log", log)) == [("text", log)]


def test_source_keeps_its_indentation_and_blank_lines() -> None:
    source = "def f():\n    if x:\n\treturn 1\n\n\n    return 2"
    assert outline(read("f.py", source)) == [("code", source)]


def test_paragraphs_are_what_stands_between_blank_lines() -> None:
    assert texts(read("letter.txt", "Dear Ada,\r\nhello.\r\n\r\n  \r\n    Indented.\r\n")) == ["Dear Ada,\nhello.", "    Indented."]


def test_a_form_feed_begins_a_page() -> None:
    document = read("rfc1.txt", "First page\n\f\nSecond page\n")
    assert [(element.text, element.page) for element in document.elements] == [("First page", 1), ("Second page", 2)]
    assert document.pages == 2


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Größe: 5 €, naïve"),
        ("utf-8-sig", "Größe: 5 €"),
        ("utf-16", "Größe: 5 €"),
        ("utf-16-le", "Größe: 5 mm without a mark"),
        ("utf-16-be", "Größe: 5 mm without a mark"),
        ("utf-32", "Größe: 5 €"),
        ("cp1252", "Größe: 5 € … “naïve café”"),
        ("cp1252", "¿Qué? El niño comió 5 m²."),
        ("cp1250", "Zażółć gęślą jaźń. Wszystko jest w porządku, proszę państwa."),
        ("cp1251", "Привет мир, это обычный русский текст для проверки кодировки."),
        ("shift_jis", "これは日本語のテキストです。文字コードを判定します。"),
    ],
)
def test_encodings_are_detected(encoding: str, text: str) -> None:
    assert texts(read("a.txt", text.encode(encoding))) == [text]


def test_characters_that_nobody_sees_are_gone() -> None:
    assert texts(read("a.txt", "co\u00adop\u200ber\u2060ate\ufeff and\x07bell")) == ["cooperate and bell"]


@pytest.mark.parametrize("name", ["README", "Makefile", ".env", "notes.xyz", "notes."])
def test_text_is_read_whatever_its_name_is(name: str) -> None:
    assert texts(read(name, "some words")) == ["some words"]


def test_what_is_no_text_is_refused() -> None:
    assert "content is not text" in refuse("a.txt", bytes(range(256)) * 20)
    assert "A file of the type .bin cannot be read" in refuse("a.bin", b"a\0b" * 50)
    assert "A file without a type in its name" in refuse("core", b"a\0b" * 50)
