"""The web process as operators start it: several of them, over one Redis, with a real relay worker and a real upstream."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import redis.asyncio

from tests.api.conftest import Client, sign_up
from tests.api.socketio_client import connect_socket
from tests.polling import until
from tests.ports import free_port
from tests.servers import missing
from tests.stack import Stack, stack_in
from tests.upstream import WORDS, Upstream

NODE_CLIENTS = Path(__file__).parent.parent / "clients"
TEXT = "".join(WORDS)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(models=("echo", "words", "slow", "breaking", "failing", "limited")).serving() as serving:
        yield serving


@pytest.fixture
async def stack(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Stack]:
    async with stack_in(tmp_path, openai_base_urls=upstream.url) as running:
        await running.start_redis()
        yield running


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[Client]:
    """The first user of a stack with one web process and one relay worker."""
    await asyncio.gather(stack.start_api(), stack.start_worker("relay"))
    async with aiohttp.ClientSession() as session:
        yield await sign_up(Client(stack.url, session), "Ada")


@pytest.fixture
def sdk(user: Client) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{user.url}/api/openai/v1", api_key=user.token, max_retries=0)


async def test_the_openai_sdk_gets_relayed_answers_streamed_and_whole(sdk: openai.AsyncOpenAI) -> None:
    async with sdk:
        ask: Any = {"model": "words", "messages": [{"role": "user", "content": "hi"}]}
        whole = await sdk.chat.completions.create(**ask)
        assert whole.choices[0].message.content == TEXT
        assert whole.usage
        assert whole.usage.completion_tokens == len(WORDS)
        stream = await sdk.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
        assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
        assert chunks[-1].usage
        assert chunks[-1].usage.total_tokens == 3 + len(WORDS)


async def test_an_upstreams_failures_are_the_sdks_own_errors(sdk: openai.AsyncOpenAI) -> None:
    async with sdk:
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as limited:
                await sdk.chat.completions.create(model="limited", messages=[{"role": "user", "content": "x"}], stream=stream)
            assert limited.value.response.headers["Retry-After"] == "7"
            with pytest.raises(openai.InternalServerError):
                await sdk.chat.completions.create(model="failing", messages=[{"role": "user", "content": "x"}], stream=stream)
        broken = await sdk.chat.completions.create(model="breaking", messages=[{"role": "user", "content": "x"}], stream=True)
        seen: list[str] = []
        with pytest.raises(openai.APIError, match="broke"):
            await _collect(broken, seen)
        assert "".join(seen) == "".join(WORDS[:10])


async def _collect(stream: openai.AsyncStream[Any], seen: list[str]) -> None:
    async for chunk in stream:
        seen += [chunk.choices[0].delta.content or ""]


async def test_rooms_span_web_processes_and_hear_answers_asked_anywhere(stack: Stack, user: Client) -> None:
    other_port = free_port()
    await stack.start_api(port=other_port)
    other = f"http://127.0.0.1:{other_port}"
    chat_id = await user.chat(models=["slow"])
    async with connect_socket(user) as here, connect_socket(user, url=other) as there:
        for one in (here, there):
            await one.call("join_chat", {"chat_id": chat_id})
        sent = await here.call("message", {"chat_id": chat_id, "message": {"content": "x"}})
        await until(there.pieces, "the other process tells of the answer")
        async with connect_socket(user, url=other) as late:
            await late.call("join_chat", {"chat_id": chat_id})
            for one, wholes in ((here, 2), (there, 2), (late, 1)):
                await one.hears(wholes)
                assert one.pieces() == one.wholes()[-1]["content"] == TEXT
        assert [message["role"] for message in here.wholes()] == [message["role"] for message in there.wholes()] == ["user", "assistant"]
        assert here.wholes()[-1]["id"] == sent["answer_id"]
        assert (here.of("user_join"), there.of("user_join")) == ([], [])


async def test_who_was_on_a_killed_process_is_soon_in_no_room(stack: Stack, user: Client) -> None:
    other_port = free_port()
    dying = await stack.start_api(port=other_port)
    chat_id = await user.chat()
    async with redis.asyncio.Redis.from_url(stack.redis_url) as store, connect_socket(user) as here:
        async with connect_socket(user, url=f"http://127.0.0.1:{other_port}") as there:
            await there.call("join_chat", {"chat_id": chat_id})
            assert await store.exists(f"{{presence}}:room:{chat_id}")
            await dying.kill()

        async def empty() -> bool:
            return not await store.exists(f"{{presence}}:room:{chat_id}")

        await until(empty, "the dead are buried", timeout_s=11)
        assert (await here.call("join_chat", {"chat_id": chat_id}))["presence"] == [user.user["id"]]


@pytest.mark.parametrize("transports", [("polling",), ("polling", "websocket")])
async def test_sessions_of_polling_are_found_where_several_processes_share_the_port(
    stack: Stack, user: Client, transports: tuple[str, ...]
) -> None:
    assert user
    shared = free_port()
    url, processes = f"http://127.0.0.1:{shared}", [await stack.start_api(port=shared, api_processes=3) for _ in range(3)]
    await until(lambda: all(b"api ready" in process.log.read_bytes() for process in processes), "all of them listen")
    chat_id = await user.chat(models=["words"])
    for _ in range(6):
        async with connect_socket(user, url=url, transports=transports) as one:
            assert (await one.call("join_chat", {"chat_id": chat_id}))["ok"]
            await one.call("message", {"chat_id": chat_id, "message": {"content": "x"}})
            await one.hears(2)
            assert one.pieces() == TEXT
    for sid in ("aaaaaaaa.x", "../../../x.x", "x"):
        async with user.session.get(f"{url}/socket.io/", params={"EIO": "4", "transport": "polling", "sid": sid}) as response:
            assert response.status == 400, sid


async def test_the_javascript_client_hears_a_streamed_answer(stack: Stack, user: Client) -> None:
    if not shutil.which("node") or not (NODE_CLIENTS / "node_modules" / "socket.io-client").exists():
        missing("socket.io-client for node")
    for path in ("/socket.io", "/ws/socket.io"):
        chat_id = await user.chat(models=["words"])
        words = ("node", str(NODE_CLIENTS / "socket-io.mjs"), stack.url, path, chat_id, "Hello!")
        environment = {**os.environ, "TOKEN": user.token}  # noqa: TID251 - handing it on
        process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        heard = [json.loads(line) for line in output.splitlines()]
        assert heard[0] == {"event": "joined", "data": {"ok": True, "chat_id": chat_id, "presence": [user.user["id"]]}}
        messages = [line["data"] for line in heard if line["event"] == "message"]
        assert messages[0]["message"]["content"] == "Hello!"
        assert "".join(said["message"]["content"] for said in messages if said["delta"]) == messages[-1]["message"]["content"] == TEXT


async def test_sigterm_ends_open_streams_cleanly_and_soon_and_they_are_resumed_after_a_restart(stack: Stack, user: Client) -> None:
    chat_id = await user.chat(models=["slow"])
    sent = await user.post(f"/api/chats/{chat_id}/messages", {"content": "x"})
    path = f"/api/generations/{sent.body['generation_id']}/events"
    api = next(running for running in stack.running if "-api" in running.log.name)
    text, last = "", ""
    begun = asyncio.Event()
    completion = asyncio.create_task(_error_of(user, "slow", begun))
    await begun.wait()
    async with user.session.get(user.url + path, headers=user.headers) as response, connect_socket(user) as listener:
        await listener.call("join_chat", {"chat_id": chat_id})
        signalled = 0.0
        async for line in response.content:  # until it ends, without an error of the transport
            name, _, value = line.decode().strip().partition(": ")
            last = value if name == "id" else last
            text += json.loads(value).get("text", "") if name == "data" else ""
            if len(text) > 40 and not signalled:
                signalled = time.monotonic()
                api.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(api.process.wait(), 5) == 0
    assert time.monotonic() - signalled < 5
    assert (await completion)["code"] == "unavailable"
    assert text != TEXT
    await stack.start_api()
    async with user.session.get(user.url + path, headers={**user.headers, "Last-Event-ID": last}) as response:
        async for line in response.content:
            name, _, value = line.decode().strip().partition(": ")
            text += json.loads(value).get("text", "") if name == "data" else ""
    assert text == TEXT


async def _error_of(user: Client, model: str, begun: asyncio.Event) -> dict[str, Any]:
    """The error that a stream which has begun ends with."""
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": True}
    async with user.session.post(f"{user.url}/v1/chat/completions", json=body, headers=user.headers) as response:
        async for line in response.content:
            begun.set()
            if line.startswith(b'data: {"error"'):
                error: dict[str, Any] = json.loads(line[6:])["error"]
                return error
    pytest.fail("the stream ended without an error")


async def test_what_cannot_be_used_is_one_line_and_exit_code_2(stack: Stack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        for settings, words in (
            ({"port": taken}, "in use"),
            ({"port": "x"}, "PENSTOCK_PORT"),
            ({"mongo_url": "mongodb://127.0.0.1:1/x"}, "MongoDB"),
        ):
            failed = await stack.start(sys.executable, "-m", "api", **settings)
            assert await asyncio.wait_for(failed.process.wait(), 60) == 2
            (line,) = failed.log.read_text().strip().splitlines()
            assert line.startswith("penstock api: ")
            assert words in line


async def test_several_processes_share_a_port(stack: Stack) -> None:
    first = await stack.start_api(api_processes=2)
    await stack.start_api(api_processes=2)
    second = stack.running[-1]
    await until(lambda: b"api ready" in second.log.read_bytes(), "the second one listens too")
    await first.kill()
    async with aiohttp.ClientSession() as session, session.get(f"{stack.url}/health") as response:
        assert response.status == 200
