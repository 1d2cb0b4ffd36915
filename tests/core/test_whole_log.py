"""Logs that have ended, and their readers, wherever these are in them."""

import asyncio
import random
import string
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.events import position, whole_log
from core.events.whole_log import Entry
from core.jobs.claims import Claim
from core.models.completions import Logprobs, TokenLogprob, Usage
from core.models.events import (
    Cancelled,
    ChoiceFinished,
    Delta,
    Event,
    Failed,
    Finished,
    Progress,
    Sources,
    Started,
    Step,
    ToolCall,
    ToolResult,
    Waiting,
)
from core.models.jobs import JobSpec, JobStatus
from core.models.sources import Source
from core.redis.keys import job_key
from tests.job_backend import JobBackend

Specs = Callable[[], JobSpec]
ENTRIES = 60
LOGPROBS = Logprobs(content=[TokenLogprob(token="é", logprob=-0.123456789012345678, bytes=[195, 169])])
EXTRA = {"tool_calls": [{"index": 0, "function": {"arguments": '{"tokens":[1]}'}}], "tokens": [1, 2**60, 0.1]}
RESULT = msgspec.Raw(b'{"tokens": [1.0, "\\u00e9"]}')

texts = st.text()
deltas: st.SearchStrategy[Event] = st.builds(
    Delta,
    text=texts,
    choice=st.integers(0, 2),
    tokens=st.lists(st.integers(0, 200_000), max_size=3).map(tuple),
    extra=st.sampled_from((None, EXTRA)),
    logprobs=st.sampled_from((None, LOGPROBS)),
)
others: st.SearchStrategy[Event] = st.sampled_from(
    (
        Waiting(detail="nobody"),
        Started(model="m", attempt=2, continued="exact", fingerprint="f"),
        Sources(sources=(Source(number=1, file_id="f", filename="é.pdf", pages=(3,), passage="é", score=0.123456),)),
        ChoiceFinished(choice=1, finish_reason="length"),
        Progress(status="pulling", total=2**53 + 1, completed=1),
        Step(key="parse", result=RESULT),
        ToolCall(key="1", name="search", arguments=RESULT),
        ToolResult(key="1", result=RESULT),
        Finished(usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, prompt_tokens_details={"cached_tokens": 1})),
        Failed(code="unavailable", detail="why", retry_after=3),
        Cancelled(),
    )
)
ids = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10**15)), max_size=30, unique=True).map(sorted)


def without_tokens(event: Any) -> Event:
    return msgspec.structs.replace(event, tokens=()) if isinstance(event, Delta) else event


@settings(deadline=None)
@given(ids=ids, data=st.data())
def test_every_entry_comes_back_with_its_id_and_without_its_tokens(ids: list[tuple[int, int]], data: st.DataObject) -> None:
    log: list[Entry] = [(f"{epoch}-{seq}", data.draw(deltas | others)) for epoch, seq in ids]
    kept = asyncio.run(_kept(log))
    assert kept == [(entry_id, without_tokens(event)) for entry_id, event in log]


async def _kept(log: list[Entry]) -> list[Entry]:
    return await whole_log.decode(await whole_log.encode(log))


async def test_a_long_log_is_kept_too() -> None:
    drawn = random.Random(1)
    log: list[Entry] = [(f"1-{seq}", Delta(text="".join(drawn.choices(string.printable, k=40)))) for seq in range(1, 20_001)]
    assert await _kept(log) == log


class Answer:
    """A job's log while it is written, and its readers."""

    def __init__(self, backend: JobBackend, claim: Claim, drawn: random.Random) -> None:
        self.backend = backend
        self.claim = claim
        self.drawn = drawn
        self.whole: list[Entry] = []
        self.own: list[Event] = []
        self.readers: list[tuple[str, asyncio.Task[list[Entry]]]] = []

    async def append(self, *entries: Event, end: JobStatus | None = None) -> None:
        await self.backend.claims.append(
            self.claim, len(self.own) + 1, entries, end=end, before=self.own if self.drawn.random() < 0.5 else ()
        )
        for event in entries:
            self.own.append(event)
            self.whole.append((f"{self.claim.epoch}-{len(self.own)}", without_tokens(event)))

    async def take_over(self) -> None:
        assert await self.backend.claims.hand_back(self.claim)
        claim = await self.backend.claims.claim(self.claim.spec.id, "another worker")
        assert claim
        self.claim, self.own = claim, []

    def read(self, after: str | None = None) -> None:
        """One reader more, after an id or any one."""
        after = after or self.drawn.choice(["0-0", *(entry_id for entry_id, _ in self.whole)])
        self.readers.append((after, asyncio.create_task(self._read(after, random.Random(self.drawn.random())))))

    async def _read(self, after: str, drawn: random.Random) -> list[Entry]:
        """What a reader hears until the end; it leaves at random, and comes back with the last id that it saw."""
        got: list[Entry] = []
        while not got or not isinstance(got[-1][1], Finished):
            entries = self.backend.log.subscribe(self.claim.spec.id, got[-1][0] if got else after)
            patience = drawn.randint(1, 20)
            async for entry_id, event in entries:
                got.append((entry_id, without_tokens(event)))
                patience -= 1
                if not patience:
                    break
                await asyncio.sleep(0)
            await entries.aclose()
        return got


@pytest.mark.parametrize("seed", range(6))
async def test_readers_get_every_entry_once_wherever_they_are_when_the_log_is_moved(
    backend: JobBackend, new_spec: Specs, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """In pages of a few entries, while workers change and connections are cut."""
    drawn, spec = random.Random(seed), new_spec()
    monkeypatch.setattr("core.events.BACKLOG_ENTRIES", drawn.randint(1, 7))
    answer = Answer(backend, await backend.given(spec, "one"), drawn)
    answer.read()
    for number in range(ENTRIES):
        await answer.append(*[Delta(text=f"{number}", tokens=(number,), choice=drawn.choice((0, 0, 1)))] * drawn.randint(1, 3))
        if drawn.random() < 0.2:
            answer.read()
        if drawn.random() < 0.05:
            await backend.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        if number in {20, 40}:
            await answer.take_over()
    for _ in range(5):
        answer.read()
    await answer.append(Finished(), end=JobStatus.FINISHED)
    assert await backend.redis.hexists(job_key(spec.id), "log")
    for place, (entry_id, _) in enumerate(answer.whole[:-1], 1):
        assert await backend.log.read(spec.id, entry_id) == answer.whole[place:]
        answer.read(entry_id)
    for after, reader in answer.readers:
        assert await reader == [entry for entry in answer.whole if position(entry[0]) > position(after)]
