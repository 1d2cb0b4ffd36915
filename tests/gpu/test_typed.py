from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gpu.shadows import Shadows
from gpu.typed import LOOKING, STRIPPING, join

SHADOWS = Shadows("<>")
texts = st.text("<>ab/ \n", max_size=8)
EACH = [name for name in (*LOOKING, *STRIPPING) if name not in {"index", "rindex", "__getitem__", "splitlines"}]


def plain(made: Any) -> Any:
    if isinstance(made, str):
        return SHADOWS.show(str.__str__(made))
    return type(made)(map(plain, made)) if isinstance(made, list | tuple) else made


@given(st.sampled_from(EACH), texts.filter(bool), texts.filter(bool))
def test_a_hidden_text_is_searched_and_cut_as_another(name: str, text: str, asked: str) -> None:
    assert plain(getattr(SHADOWS.mark_typed(text), name)(asked)) == getattr(text, name)(asked)


@given(texts, texts, texts, st.integers(-9, 9))
def test_it_is_compared_joined_and_replaced_as_another(text: str, other: str, new: str, place: int) -> None:
    typed = SHADOWS.mark_typed(text)
    assert (typed == other) is (text == other)
    assert (typed != other) is (text != other)
    assert (other in [typed, new]) is (other in [text, new])
    assert plain(other + typed) == other + text
    assert plain(typed + other) == text + other
    assert plain(typed[place:]) == text[place:]
    assert plain(typed.replace(other, new)) == text.replace(other, new)
    assert plain(join([other, typed])) == other + text


def test_what_is_cut_out_is_searched_again_and_what_a_template_adds_is_not_hidden() -> None:
    thought = SHADOWS.mark_typed("<a>x</a>y").split("</a>")[0].split("<a>")[-1]
    assert thought == "x"
    mixed = "<a>" + SHADOWS.mark_typed("<b>")
    assert "<b>" in mixed
    assert "<a>" in mixed
    assert str.__str__(mixed).startswith("<a>")
    assert "<b>" not in str.__str__(mixed)
    assert mixed == "<a><b>"
    assert mixed != "<a><c>"
