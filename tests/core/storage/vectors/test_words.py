"""What is a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.storage.vectors.words import MOST_WORDS, ask, split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The IT department, in 2026.", "the it department in 2026"),
        ("C++, C# and C; a#b", "c++ c c# c and c a b"),
        ("final_report.txt", "final report txt"),
        ("STRASSE Straße", "strasse strasse"),
        ("Café naïve \uff21\uff22\uff23", "cafe naive abc"),
        ("ΩΜΈΓΑ Жёлтый", "ωμεγα желтыи"),
        ("日本語 text", "日 本 語 日本 本語 text"),
        ("ｶﾞｷﾞ", "ガ ギ ガギ"),
        ("한국어", "한 국 어 한국 국어"),
        ("हिन्दी में", "हिन्दी में"),
        ("العربية", "العربية"),
        ("“quoted” — text…", "quoted text"),
        ("!? \u0000 😀 \u0301", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    assert split(text) == words.split()


def test_a_question_asks_for_pairs_where_there_are_any() -> None:
    assert ask("東京都") == ["東京", "京都"]
    assert ask("東") == ["東"]
    assert ask("c++ C++ x") == ["c++", "c", "x"]


def test_a_long_question_is_cut() -> None:
    assert ask(" ".join(map(str, range(1000)))) == [str(number) for number in range(MOST_WORDS)]


@given(st.text())
def test_no_word_holds_what_separates_or_quotes_words_and_each_finds_itself(text: str) -> None:
    words = split(text)
    assert " ".join(words).split() == words
    assert not any(character in word for word in words for character in "\"' \0-_")
    assert set(ask(text)) <= set(words)
    for word in words[:20]:
        assert word in split(word)
