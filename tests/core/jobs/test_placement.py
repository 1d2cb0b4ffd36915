import pytest

from core.jobs.placement import origin
from core.models.events import ChoiceFinished, Delta, Event, Started

ONE, OTHER, UNKNOWN = (Started(model="m", attempt=1, fingerprint=fingerprint) for fingerprint in ("f1", "f2", ""))
WORD, NOTHING = Delta(text="a", tokens=(1,)), Delta()


@pytest.mark.parametrize(
    ("log", "fingerprint"),
    [
        ((), ""),
        ((ONE,), ""),
        ((ONE, WORD), "f1"),
        ((ONE, WORD, ONE, WORD), "f1"),
        ((OTHER, NOTHING, ONE, WORD, OTHER), "f1"),
        ((ONE, ChoiceFinished()), "f1"),
        ((ONE, WORD, OTHER, WORD, ONE, WORD), ""),
        ((ONE, WORD, UNKNOWN, WORD), ""),
        ((UNKNOWN, WORD), ""),
    ],
)
def test_a_log_is_of_one_origin_where_all_that_was_seen_was_computed_alike(log: tuple[Event, ...], fingerprint: str) -> None:
    assert origin((f"1-{number}", event) for number, event in enumerate(log)) == fingerprint
