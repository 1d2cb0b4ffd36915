"""Connections that are cut in the middle of an answer: nothing is lost, nothing comes twice."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.redis.keys import job_key
from core.services import Services
from tests.api.conftest import Client
from tests.api.manual_jobs import claim_next
from tests.api.socketio_client import SocketClient, connect_socket
from tests.polling import until
from tests.proxy import proxy_to
from tests.servers import missing

NODE_CLIENTS = Path(__file__).parents[2] / "clients"
TRANSPORTS = [("websocket",), ("polling",), ("polling", "websocket")]


def assert_exact(heard: list[Any], text: str) -> None:
    """The pieces are the text, and each came once."""
    answers = [data for data in heard if "event_id" in data]
    assert "".join(data["message"]["content"] for data in answers if data["delta"]) == text
    assert len({data["event_id"] for data in answers}) == len(answers)
    assert [data["message"]["content"] for data in answers if not data["delta"]] == [text]


class Returning(SocketClient):
    """The Python client as a page would use it: it joins at each connection, and says what it has heard."""

    def __init__(self, chat_id: str) -> None:
        super().__init__(reconnection=True, reconnection_delay=0.05, reconnection_delay_max=0.1)
        self.joined = 0
        self._chat_id = chat_id
        self.client.on("connect", self._join)

    async def _join(self) -> None:
        heard = self.of("message")
        after = {data["generation_id"]: data["event_id"] for data in heard if "event_id" in data}
        said = [data["message"]["id"] for data in heard if "event_id" not in data]
        place = {"chat_id": self._chat_id, "after": after} | ({"last_message_id": said[-1]} if said else {})
        assert (await self.client.call("join_chat", place))["ok"]
        self.joined += 1


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_the_python_client_hears_the_rest_after_its_connection_was_cut(
    bob: Client, services: Services, transports: tuple[str, ...]
) -> None:
    chat_id = await bob.chat()
    socket = Returning(chat_id)
    async with proxy_to(bob.url) as proxy:
        await socket.client.connect(proxy.url, auth={"token": bob.token}, transports=list(transports), wait_timeout=20)
        await until(lambda: socket.joined == 1, "the room is joined")
        await bob.post(f"/api/chats/{chat_id}/messages", {"content": "first"})
        making = await claim_next(services)
        await making.say("one ", "two ")
        await until(lambda: socket.pieces() == "one two ", "the beginning is heard")
        proxy.open = False
        proxy.cut()
        await making.say("three ")
        await bob.post(f"/api/chats/{chat_id}/messages", {"content": "second"})
        proxy.open = True
        await until(lambda: socket.joined == 2, "the room is joined again")
        await making.say("four")
        await making.finish()
        await until(lambda: any(whole.get("done") for whole in socket.wholes()), "the end is heard")
        assert_exact(socket.of("message"), "one two three four")
        assert [whole["content"] for whole in socket.wholes() if whole["role"] == "user"] == ["first", "second"]
        await socket.client.disconnect()


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_the_javascript_client_hears_the_rest_after_its_connection_was_cut(
    bob: Client, services: Services, transports: tuple[str, ...]
) -> None:
    if not shutil.which("node") or not (NODE_CLIENTS / "node_modules" / "socket.io-client").exists():
        missing("socket.io-client for node")
    chat_id = await bob.chat()
    async with proxy_to(bob.url) as proxy:
        environment = {**os.environ, "TOKEN": bob.token}  # noqa: TID251 - handing it on
        words = ("node", str(NODE_CLIENTS / "resuming.mjs"), proxy.url, chat_id, *transports)
        process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=asyncio.subprocess.PIPE)
        assert process.stdout
        heard: list[Any] = []

        async def listen(output: asyncio.StreamReader) -> None:
            async for line in output:
                heard.append(json.loads(line))  # noqa: PERF401 - each is looked at as it comes

        listening = asyncio.create_task(listen(process.stdout))
        await until(lambda: any(line["event"] == "joined" for line in heard), "the room is joined")
        await bob.post(f"/api/chats/{chat_id}/messages", {"content": "first"})
        making = await claim_next(services)
        await making.say("one ", "two ")
        await until(lambda: sum(line["event"] == "message" for line in heard) == 3, "the beginning is heard")
        proxy.cut()
        await making.say("three ")
        await until(lambda: sum(line["event"] == "joined" for line in heard) == 2, "the room is joined again")
        await making.say("four")
        await making.finish()
        assert await asyncio.wait_for(process.wait(), 20) == 0
        await listening
        assert_exact([line["data"] for line in heard if line["event"] == "message"], "one two three four")


async def test_one_who_comes_back_hears_what_was_said_and_answered_meanwhile(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as first:
        sent = await first.call("message", {"chat_id": chat_id, "message": {"content": "heard"}})
        heard = await claim_next(services)
        await heard.say("a")
        await heard.finish()
        await first.hears(2)
        last = first.of("message")[-1]["event_id"]
    for text in ("b", "c"):
        await bob.post(f"/api/chats/{chat_id}/messages", {"content": f"missed {text}"})
        missed = await claim_next(services)
        await missed.say(text)
        await missed.finish()
    async with connect_socket(bob) as again:
        seen = {"after": {sent["generation_id"]: last}, "last_message_id": sent["message_id"]}
        await again.call("join_chat", {"chat_id": chat_id, **seen})
        await again.hears(4)
        assert sorted(whole["content"] for whole in again.wholes()) == ["b", "c", "missed b", "missed c"]
        assert sorted(again.pieces()) == ["b", "c"]
        refused = await again.call("join_chat", {"chat_id": chat_id, "last_message_id": "no-such-message"})
        assert (refused["ok"], refused["error"]["code"]) == (False, "bad_request")
        assert "last_message_id" in refused["error"]["detail"]


async def test_an_answer_whose_log_is_gone_is_told_whole(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    sent = (await bob.post(f"/api/chats/{chat_id}/messages", {"content": "x"})).body
    making = await claim_next(services)
    await making.say("long ago")
    await making.finish()
    async for key in services.redis.scan_iter(f"{job_key(sent['generation_id'])}*"):
        await services.redis.delete(key)
    async with connect_socket(bob) as socket:
        await socket.call("join_chat", {"chat_id": chat_id, "after": {sent["generation_id"]: "1-2", "unknown": "1-2"}})
        await socket.hears(1)
        assert socket.wholes()[0]["content"] == "long ago"
        assert socket.pieces() == ""
