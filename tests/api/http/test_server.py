"""What reaches the server below the application, byte by byte."""

import asyncio
from typing import NamedTuple

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from api.http import pace
from api.http.server import Runner
from tests.api.conftest import Client


class Raw(NamedTuple):
    """An answer as it came."""

    status: int
    head: str
    body: bytes


async def send(client: Client, data: bytes, *, wait_s: float = 5, end: bool = False) -> Raw:
    """Bytes on a connection of their own, and what comes back until it is complete."""
    url = URL(client.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(data)
    if end:
        writer.write_eof()
    try:
        async with asyncio.timeout(wait_s):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next((int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
            return Raw(int(head.split(" ")[1]), head, await reader.readexactly(length))
    finally:
        writer.close()


REQUESTS = {
    "no HTTP": b"hello there\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n",
    "long address": b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "two lengths": b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "bad length": b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\n{}",
    "length and chunks": b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "broken chunks": b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "bad gzip": b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    "bytes in the address": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "bytes in the query": b"GET /api/auths/?x=\xff HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
async def test_what_cannot_be_read_is_400_in_the_one_shape(visitor: Client, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    with capture_logs() as logs:
        reply = await send(visitor, data)
    assert reply.status == 400
    assert "application/json" in reply.head
    assert "nosniff" in reply.head
    assert "X-Request-ID: " in reply.head
    assert list(msgspec.json.decode(reply.body)) == ["detail"]
    assert not [line for line in logs if line["event"] == "unhandled error"]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"PROPFIND /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"TRACE /health HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET http://elsewhere.example.com/health HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET //health HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET /health HTTP/1.0\r\n\r\n", 200),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 417),
        (b"GET /api/auths/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n", 401),
        (b"GET /api/auths/ HTTP/1.1\r\nHost: a\r\nCookie: token=\xff\xfe\r\n\r\n", 401),
        (b"GET /api/auths/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-\xff\r\n\r\n", 401),
        ("GET /api/nothing/é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 400),
    ],
)
async def test_what_is_odd_is_answered_in_the_one_shape(visitor: Client, data: bytes, status: int) -> None:
    reply = await send(visitor, data)
    assert reply.status == status
    assert list(msgspec.json.decode(reply.body)) == (["detail"] if status != 200 else ["status"])


async def test_a_client_that_waits_before_it_sends_its_body_is_told_to_go_on(visitor: Client) -> None:
    head = b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert (await send(visitor, head)).status == 100


async def test_a_body_that_ends_too_early_harms_nobody(visitor: Client) -> None:
    with capture_logs() as logs, pytest.raises(asyncio.IncompleteReadError):
        await send(visitor, b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{", end=True)
    assert (await visitor.get("/health")).status == 200
    assert not [line for line in logs if line["event"] == "unhandled error"]


async def test_a_body_that_does_not_come_is_not_waited_for(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PATIENCE_S", 0.05)
    reply = await send(visitor, b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{")
    assert (reply.status, list(msgspec.json.decode(reply.body))) == (408, ["detail"])


async def test_a_body_that_comes_slowly_but_comes_is_waited_for(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PATIENCE_S", 0.05)
    url = URL(visitor.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /api/auths/signin HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(10):
        writer.write(b" " * 10_000)
        await asyncio.sleep(0.02)
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"400"
    writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX: "], ids=["nothing", "half a head"])
async def test_a_connection_that_asks_for_nothing_is_closed(app: web.Application, begun: bytes) -> None:
    runner = Runner(app, shutdown_timeout=1, idle_s=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(begun)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await runner.cleanup()
