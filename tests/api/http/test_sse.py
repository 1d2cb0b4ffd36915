"""A worker that is silent for a while: its listeners are shown that the server lives, and none takes that for anything else."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from api.http import disconnects, sse
from core.services import Services
from tests.api.conftest import Client
from tests.api.manual_jobs import ManualJob, claim_next
from tests.api.rest.test_generations import path_of, started
from tests.browser import opened
from tests.polling import until
from tests.servers import missing

NODE_CLIENTS = Path(__file__).parents[2] / "clients"
ASK: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "stream": True}
Pause = Callable[[], Awaitable[object]]


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Pause:
    """Waits until listeners were shown some life more than once; that happens soon."""
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(disconnects, "TICK_S", 0.02)
    signs = 0
    write = sse.EventStream.write

    async def counting(stream: sse.EventStream, data: bytes) -> None:
        nonlocal signs
        await write(stream, data)
        signs += data == sse.COMMENT

    monkeypatch.setattr(sse.EventStream, "write", counting)

    async def pausing() -> None:
        enough = signs + 2
        await until(lambda: signs >= enough, "signs of life are written")

    return pausing


async def answered_with_pauses(making: ManualJob, pause: Pause) -> None:
    """An answer of two pieces: "one two"."""
    await pause()
    await making.say("one")
    await pause()
    await making.say(" two")
    await pause()
    await making.finish()


async def test_openais_python_client_waits(bob: Client, services: Services, pause: Pause) -> None:
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/v1", api_key=bob.token, max_retries=0) as client:
        asked = asyncio.create_task(client.chat.completions.create(**ASK))
        answering = asyncio.create_task(answered_with_pauses(await claim_next(services), pause))
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in await asked]) == "one two"
        await answering


async def test_openais_javascript_client_waits(bob: Client, services: Services, pause: Pause) -> None:
    if not shutil.which("node") or not (NODE_CLIENTS / "node_modules" / "openai").exists():
        missing("openai for node")
    environment = {**os.environ, "TOKEN": bob.token}  # noqa: TID251 - handing it on
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "node", "openai.mjs", bob.url, cwd=NODE_CLIENTS, env=environment, stdout=pipe, stderr=pipe
    )
    talking = asyncio.create_task(process.communicate())
    await answered_with_pauses(await claim_next(services), pause)
    assert await talking == (b"one two", b"")


async def test_a_browsers_event_source_waits(bob: Client, services: Services, pause: Pause) -> None:
    generation_id, making = await started(bob, services)
    listen = """path => {
        window.heard = [];
        const source = new EventSource(path);
        for (const kind of ["message", "started", "delta", "choice_finished", "finished"])
            source.addEventListener(kind, event => window.heard.push([kind, JSON.parse(event.data).text ?? ""]));
        source.addEventListener("error", () => window.heard.push([source.readyState === 2 ? "closed" : "again", ""]));
    }"""
    async with opened(bob.url, "/docs") as page:
        await page.context.add_cookies([{"name": "token", "value": bob.token, "url": bob.url}])
        await page.evaluate(listen, path_of(generation_id))
        await answered_with_pauses(making, pause)
        await until(lambda: page.evaluate("window.heard.at(-1)?.[0] === 'closed'"), "it is told that there is no more")
        heard = await page.evaluate("window.heard")
    told = [["started", ""], ["delta", "one"], ["delta", " two"], ["choice_finished", ""], ["finished", ""]]
    assert heard == [*told, ["again", ""], ["closed", ""]], "browsers come back after the end"


async def test_every_block_of_a_stream_has_data(bob: Client, services: Services, pause: Pause) -> None:
    """Also one that says how soon to come back: OpenAI's clients, and others, find an event wherever there is an ``id`` or ``retry``."""
    chat = await started(bob, services)
    followed = bob.session.get(bob.url + path_of(chat[0]), headers=bob.headers)
    completed = bob.session.post(f"{bob.url}/v1/chat/completions", json=ASK, headers=bob.headers)
    for asked, making in ((followed, chat[1]), (completed, None)):
        reading = asyncio.create_task(_read(asked))
        await answered_with_pauses(making or await claim_next(services), pause)
        *blocks, last = (await reading).split("\n\n")
        assert last == ""
        assert all(any(line.startswith("data: ") for line in block.split("\n")) for block in blocks), blocks
        assert sum(block.count(": still here\n") for block in blocks) >= 6


async def _read(asked: Any) -> str:
    async with asked as response:
        raw: bytes = await response.read()
        return raw.decode()
