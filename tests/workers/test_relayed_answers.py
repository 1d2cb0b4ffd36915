"""What is left of an answer that an upstream gave."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import msgspec
import pytest

from core.jobs import GENERATE
from core.models.events import Delta, Finished, Started
from core.models.pools import Pool
from core.settings import Settings
from pipelines.upstreams.upstreams import Upstreams
from tests.ended_jobs import TEXT, chat_reply, memory_bytes
from tests.job_backend import JobBackend
from tests.upstream import Upstream
from tests.worker_parts import WorkerParts
from tests.workers.conftest import Kept
from workers.actors.replies import Replies

RELAY = GENERATE[Pool.RELAY]


@pytest.fixture
async def upstreams() -> AsyncGenerator[Upstreams]:
    async with Upstream().serving() as serving:
        found = Upstreams(Settings(openai_base_urls=(serving.url,)))
        await found.open()
        await found.refresh()
        yield found
        await found.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_takes_its_text_and_a_kilobyte(backend: JobBackend, upstreams: Upstreams, *, stream: bool) -> None:
    spec = chat_reply(RELAY, "words")
    asked = {"model": "words", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    unused: dict[str, Any] = {"passages": None, "calls": None}
    replies = Replies(claims=backend.claims, events=backend.log, answers=cast("Any", Kept()), generator=upstreams, **unused)
    about: dict[str, Any] = {"claims": backend.claims, "queue": backend.queue, "events": backend.log, "workers": backend.workers}
    worker = WorkerParts("one", actors={RELAY: replies}, models=("words",), flush_ms=0, **about)
    await backend.queue.submit(spec, msgspec.json.encode(asked))
    assert await worker.make(spec.queue)
    log = [event for _, event in await backend.log.read(spec.id)]
    assert isinstance(log[0], Started)
    assert "".join(event.text for event in log if isinstance(event, Delta)) == TEXT
    assert isinstance(log[-1], Finished)
    assert log[-1].usage
    assert await memory_bytes(backend, spec.id) <= 1_000 + len(TEXT)
