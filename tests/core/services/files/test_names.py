import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.services.files.names import MAX_BYTES, UNNAMED, clean, ending


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("two  words.txt", "two  words.txt"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("/", UNNAMED),
        ("", UNNAMED),
        (" . ", UNNAMED),
        ("...", UNNAMED),
        (".env", ".env"),
        ("trailing. . ", "trailing"),
        ("nul\0byte.txt", "nulbyte.txt"),
        ("line\r\nbreak.txt", "linebreak.txt"),
        ("txt.\u202egnp.exe", "txt.gnp.exe"),
        ("e\u0301te\u0301.txt", "\u00e9t\u00e9.txt"),
        ("\U0001f468\u200d\U0001f469.png", "\U0001f468\u200d\U0001f469.png"),
        ("caf\udce9.txt", "caf\u00e9.txt"),
        ("\ud800.txt", ".txt"),
        ("x" * 300 + ".pdf", "x" * (MAX_BYTES - 4) + ".pdf"),
        ("\u65e5" * 100 + ".txt", "\u65e5" * 83 + ".txt"),
        ("a." + "x" * 300, "a." + "x" * (MAX_BYTES - 2)),
    ],
)
def test_what_came_becomes_a_name(given_name: str, name: str) -> None:
    assert clean(given_name) == name


@given(st.text(st.characters()))
def test_whatever_came_a_name_can_be_kept_shown_and_cleaned_again(given_name: str) -> None:
    name = clean(given_name)
    assert 1 <= len(name.encode()) <= MAX_BYTES
    assert not set(name) & set("/\\\0\r\n")
    assert name not in {".", ".."}
    assert clean(name) == name


@pytest.mark.parametrize(("name", "found"), [("a.TXT", "txt"), ("a.tar.gz", "gz"), ("a", ""), (".env", ""), ("a.", "")])
def test_an_ending_stands_behind_the_last_dot(name: str, found: str) -> None:
    assert ending(name) == found
