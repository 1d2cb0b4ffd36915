import itertools
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from gpu.completion import Completion
from gpu.detokenizer import Detokenizer
from gpu.stops import StopMatcher
from gpu.tokenizer import TOKENIZER_FILE

TEXTS = (
    "Plain words, and more.",
    "Überraschung: Straße, naïve café",
    "日本語のテキストです。漢字かな",
    "👩‍🚀 to the moon 🚀🌕 e\u0301",
    "tabs\tand\n\nlines  ",
    "𐌰𐌱 🇩🇪🇯🇵",
)


@pytest.fixture(scope="module")
def tokenizer(model_cache: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_cache / TOKENIZER_FILE))


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_joined_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(token) for token in ids_of(tokenizer, text)]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_special_tokens_are_not_text(tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer)
    assert "".join(detokenizer.push(token) for token in ids_of(tokenizer, "one<|im_start|> two")) == "one two"


@pytest.mark.parametrize("text", TEXTS)
def test_what_replayed_ids_made_visible_is_what_they_made_visible_before(tokenizer: Tokenizer, text: str) -> None:
    ids = ids_of(tokenizer, text)

    def replay(count: int) -> str:
        answer = Completion(tokenizer, ends=frozenset(), stops=("nowhere", "🌕🌕", "のテスト"), room=1000)
        return "".join(answer.push(token) for token in ids[:count])

    grown = [replay(count) for count in range(len(ids) + 1)]
    assert all(after.startswith(before) for before, after in itertools.pairwise(grown))


def test_an_end_shows_what_was_held_back(tokenizer: Tokenizer) -> None:
    answer = Completion(tokenizer, ends=frozenset({2}), stops=("end of story",), room=100)
    text = "".join(answer.push(token) for token in [*ids_of(tokenizer, "the end of"), 2])
    assert (text, answer.finish_reason) == ("the end of", "stop")


def test_so_does_having_no_more_room(tokenizer: Tokenizer) -> None:
    ids = ids_of(tokenizer, "the end of")
    answer = Completion(tokenizer, ends=frozenset({2}), stops=("end of story",), room=len(ids))
    assert "".join(answer.push(token) for token in ids) == "the end of"
    assert answer.finish_reason == "length"


def through(stops: tuple[str, ...], *pieces: str) -> list[str]:
    matcher = StopMatcher(stops)
    seen = []
    for piece in pieces:
        seen.append(matcher.push(piece))
        if matcher.found:
            return [*seen, "found"]
    return [*seen, matcher.flush()]


@pytest.mark.parametrize(
    ("stops", "pieces", "seen"),
    [
        ((), ("a", "b"), ["a", "b", ""]),
        (("stop",), ("go s", "top now"), ["go ", "", "found"]),
        (("stop",), ("go st", "ay"), ["go ", "stay", ""]),
        (("stop",), ("go sto",), ["go ", "sto"]),
        (("aab",), ("aa", "ab"), ["", "a", "found"]),
        (("world", "lo w"), ("hello w", "orld"), ["hel", "found"]),
        (("\n\n",), ("a\n", "\nb"), ["a", "", "found"]),
        (("ab", "abc"), ("xab",), ["x", "found"]),
    ],
)
def test_nothing_from_a_stop_string_on_is_seen(stops: tuple[str, ...], pieces: tuple[str, ...], seen: list[str]) -> None:
    assert through(stops, *pieces) == seen
