"""Every kind of job: its policy, its actor, its queues, and how many of it a worker does at a time.

A new kind is one row of KINDS and one actor in ``workers.actors``. Queues are named ``pool.class.model``, so that a worker is never given
what it cannot do. A message carries the job's id, nothing else. The web process enqueues these and never imports an actor.
"""

import re
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

import msgspec

from core.models.pools import Pool

MAX_DEATHS = 4
SUSPECT_DEATHS = 2
HOUR_S = 3_600
ENDED_S = HOUR_S


class Repeat(StrEnum):
    """What becomes of a job when its worker dies."""

    RESUME = "resume"  # another goes on from its log
    RESTART = "restart"  # another does it again from the beginning: that does no harm
    ONCE = "once"  # once it has begun nobody can go on with it: it ends with what arrived


class Drain(StrEnum):
    """What a worker does with its running jobs when it is told to leave."""

    HAND_BACK = "hand back"  # at once: another goes on
    FINISH = "finish"  # what has begun is finished within a grace; the rest is handed back


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of job. ``actor``: its name in Dramatiq's messages, and here.

    ``classes``: of its queue, the more urgent first. ``by_model``: each model has its own queue. ``places``: how many a worker process does
    at a time; None: as many as PENSTOCK_MAX_BATCH says. ``urgent``: so many of them are for the first class alone. ``max_deaths``: it is
    given up when so many workers died on it without any progress. ``time_limit_s``: for one worker's part; None: PENSTOCK_ANSWER_TIMEOUT_S.
    ``unfinished_s``: one that has not ended is forgotten after so long without a sign of life; ``ended_s``: and one that has. ``patient``:
    it waits for a worker for as long as it takes, and some minutes for a store: nobody waits at the other end, and it is written down what
    it is for.
    """

    actor: str
    pool: Pool
    classes: tuple[str, ...]
    by_model: bool = True
    repeat: Repeat
    drain: Drain = Drain.HAND_BACK
    places: int | None
    urgent: int = 0
    max_deaths: int = MAX_DEATHS
    time_limit_s: int | None = None
    unfinished_s: int = 24 * HOUR_S
    ended_s: int = ENDED_S
    patient: bool = False


KINDS: dict[str, Kind] = {
    kind.actor: kind
    for kind in (
        Kind(actor="generate_reply", pool=Pool.GPU, classes=("generate",), repeat=Repeat.RESUME, places=None),
        Kind(actor="relay_reply", pool=Pool.RELAY, classes=("generate",), repeat=Repeat.ONCE, drain=Drain.FINISH, places=128),
        Kind(
            actor="embed_texts",
            pool=Pool.GPU,
            classes=("embed.query", "embed.bulk"),
            repeat=Repeat.RESTART,
            places=16,
            urgent=4,
            time_limit_s=600,
        ),
        Kind(
            actor="rerank_passages",
            pool=Pool.GPU,
            classes=("rerank",),
            by_model=False,
            repeat=Repeat.RESTART,
            places=16,
            time_limit_s=600,
        ),
        Kind(actor="relay_embed", pool=Pool.RELAY, classes=("embed",), repeat=Repeat.RESTART, places=32, time_limit_s=600),
        Kind(
            actor="pull_model", pool=Pool.CPU, classes=("pull",), by_model=False, repeat=Repeat.RESUME, places=4, time_limit_s=24 * HOUR_S
        ),
        Kind(
            actor="parse_file",
            pool=Pool.CPU,
            classes=("parse",),
            by_model=False,
            repeat=Repeat.RESTART,
            places=2,
            time_limit_s=900,
            patient=True,
        ),
        Kind(
            actor="index_file",
            pool=Pool.CPU,
            classes=("index", "index.bulk"),
            by_model=False,
            repeat=Repeat.RESTART,
            places=16,
            urgent=4,
            time_limit_s=24 * HOUR_S,
            patient=True,
        ),
        Kind(actor="search_web", pool=Pool.CPU, classes=("web",), by_model=False, repeat=Repeat.RESTART, places=8, time_limit_s=90),
        Kind(
            actor="call_function",
            pool=Pool.CPU,
            classes=("functions",),
            by_model=False,
            repeat=Repeat.RESTART,
            places=16,
            time_limit_s=300,
        ),
    )
}
GENERATE: dict[Pool, str] = {Pool.GPU: "generate_reply", Pool.RELAY: "relay_reply"}
EMBED: dict[Pool, str] = {Pool.GPU: "embed_texts", Pool.RELAY: "relay_embed"}
RERANK = "rerank_passages"
PULL = "pull_model"
SEARCH_WEB = "search_web"
CALL_FUNCTION = "call_function"
PARSE = "parse_file"
INDEX = "index_file"
INDEX_BULK = "index.bulk"


def queue_of(kind: str, model: str = "", class_: str | None = None) -> str:
    """The queue of a kind's jobs for a model."""
    row = KINDS[kind]
    queue = f"{row.pool}.{class_ or row.classes[0]}"
    return f"{queue}.{_word(model)}" if row.by_model else queue


def is_patient(queue: str) -> bool:
    """Whether the jobs of a queue wait for a worker for as long as it takes."""
    return queue in _PATIENT


def queues_of(kind: str, models: tuple[str, ...]) -> tuple[str, ...]:
    """All queues of a kind's jobs that a worker serves which has these models, the more urgent first."""
    row = KINDS[kind]
    return tuple(queue_of(kind, model, class_) for class_ in row.classes for model in (models if row.by_model else ("",)))


def is_bulk(queue: str) -> bool:
    """Whether the jobs of a queue let more urgent ones of their kind go first."""
    return f"{queue}.".startswith(_BULK)


_BULK = tuple(f"{kind.pool}.{class_}." for kind in KINDS.values() for class_ in kind.classes[1:])
_PATIENT = frozenset(queue_of(kind.actor, class_=class_) for kind in KINDS.values() if kind.patient for class_ in kind.classes)


@lru_cache(maxsize=1_000)
def _word(model: str) -> str:
    """A model's id as a part of a queue's name, which Dramatiq wants of letters, digits, dots, dashes and underscores."""
    word = re.sub(r"[^A-Za-z0-9_-]", "_", model)
    return word if word == model else f"{word}-{sha256(model.encode()).hexdigest()[:8]}"
