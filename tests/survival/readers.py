"""Readers of one answer on every face. Each goes on by itself after a break, from the last event it saw."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import socketio
from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import WebSocketException

AGAIN_S = 0.1
ENDS = {"finished", "failed", "cancelled"}
TYPENAMES = {"GenerationFinished": "finished", "GenerationFailed": "failed", "GenerationCancelled": "cancelled"}
GENERATION = """
subscription ($id: ID!, $after: String) {
  generation(id: $id, after: $after) { __typename id ... on GenerationDelta { text } }
}
"""
BROKEN = (TransportError, WebSocketException, OSError, TimeoutError)


class Reading:
    """What a reader has seen: ``text``, how it ended, and the longest silence between two pieces in seconds.

    ``continued``: how well, each time that a worker went on with another's answer.
    """

    def __init__(self) -> None:
        self.text = ""
        self.continued: list[str] = []
        self.end: str | None = None
        self.last_id = "0-0"
        self.pause_s = 0.0
        self._heard_at: float | None = None

    def hear(self, text: str) -> None:
        now = time.monotonic()
        if self._heard_at is not None:
            self.pause_s = max(self.pause_s, now - self._heard_at)
        self._heard_at = now
        self.text += text


async def read_sse(url: str, token: str, generation_id: str, reading: Reading | None = None) -> Reading:
    """``GET /api/generations/{id}/events``, with ``Last-Event-ID`` after a break; ``reading`` can be looked at meanwhile."""
    reading = reading or Reading()
    while reading.end is None:
        with suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
            headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": reading.last_id}
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{url}/api/generations/{generation_id}/events", headers=headers) as response,
            ):
                response.raise_for_status()
                async for entry_id, event in _events(response):
                    reading.last_id = entry_id
                    if event["type"] == "delta":
                        reading.hear(event.get("text", ""))
                    if event.get("continued"):
                        reading.continued.append(event["continued"])
                    if event["type"] in ENDS:
                        reading.end = event["type"]
        await asyncio.sleep(AGAIN_S)
    return reading


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    entry_id = ""
    async for line in response.content:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name == "id":
            entry_id = value
        elif name == "data":
            yield entry_id, json.loads(value)


async def read_graphql(url: str, token: str, generation_id: str) -> Reading:
    """The ``generation`` subscription, with ``after`` after a break."""
    reading = Reading()
    while reading.end is None:
        asked = gql(GENERATION)
        asked.variable_values = {"id": generation_id, "after": reading.last_id}
        with suppress(*BROKEN):
            transport = WebsocketsTransport(url=f"{url.replace('http', 'ws')}/graphql", init_payload={"Authorization": f"Bearer {token}"})
            async with Client(transport=transport) as session:
                async for result in session.subscribe(asked):
                    event = result["generation"]
                    reading.last_id = event["id"]
                    if event["__typename"] == "GenerationDelta":
                        reading.hear(event["text"])
                    reading.end = TYPENAMES.get(event["__typename"])
                    if reading.end:
                        break
        await asyncio.sleep(AGAIN_S)
    return reading


class Room:
    """A Socket.IO client in a chat's room. ``messages``: everything heard, as it came."""

    def __init__(self, url: str, token: str, chat_id: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self._where = (url, token, chat_id)
        self.client = socketio.AsyncClient(reconnection=False)
        self.client.on("message", self.messages.append)

    async def join(self) -> None:
        """Connect and join; raises AssertionError where the server refuses."""
        url, token, chat_id = self._where
        await self.client.connect(url, auth={"token": token}, transports=["websocket"], wait_timeout=20)
        answer = await self.client.call("join_chat", {"chat_id": chat_id})
        assert "error" not in answer, answer

    def complete(self) -> bool:
        """Whether the end of the answer was told."""
        return self.answer()[1] is not None

    def answer(self) -> tuple[str, str | None]:
        """The pieces of the assistant's message joined, and the whole as it was told at the end."""
        pieces, final = "", None
        for said in self.messages:
            message = said["message"]
            if message["role"] != "assistant":
                continue
            if message.get("done"):
                final = message["content"]
            else:
                pieces += message["content"]
        return pieces, final
