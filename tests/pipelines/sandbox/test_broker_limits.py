"""How much of the broker a call may have, how long, and what is told when it ends."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from msgspec.structs import replace

from pipelines.sandbox.broker import broker as module
from pipelines.sandbox.broker import exchange
from tests.pipelines.sandbox.door import LIMITS, Door, at, opened, status
from tests.polling import until
from tests.ports import free_port
from tests.web_pages import Names, Site, html


async def test_a_call_receives_so_much_and_no_more(site: Site, door: Door) -> None:
    site.pages |= {"/endless": site.endless, "/large": html("x" * 50_000)}
    for more in ("/endless", "/large"):
        with door.grant(f"page.test:{site.port}", limits=replace(LIMITS, received_bytes=40_000)) as token:
            answer = await door.get(token, at(site, more))
            assert len(answer) < 66_000
            assert not answer.endswith("0\r\n\r\n"), "it is not whole"
            assert "A call may receive 40000 bytes" in await door.get(token, at(site))
    with door.grant(f"page.test:{site.port}", limits=replace(LIMITS, received_bytes=40_000)) as token:
        reader, writer, _ = await door.tunnel(token, f"page.test:{site.port}")
        writer.write(b"GET /endless HTTP/1.1\r\nHost: y\r\n\r\n")
        assert len(await reader.read(-1)) < 66_000
        writer.close()


async def test_a_call_sends_so_much_and_no_more(site: Site, door: Door) -> None:
    with door.grant(f"page.test:{site.port}", limits=replace(LIMITS, sent_bytes=40_000)) as token:
        body = "Content-Length: 50000\r\n\r\n" + "x" * 50_000
        answer = await door.ask(f"POST {at(site)} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {token}\r\n{body}")
        assert (status(answer), "A call may send 40000 bytes" in answer) == (413, True)


async def test_a_call_has_so_many_connections_at_a_time(site: Site, door: Door) -> None:
    with door.grant(f"page.test:{site.port}", limits=replace(LIMITS, connections=1)) as token:
        _, first, _ = await door.tunnel(token, f"page.test:{site.port}")
        assert "429 A call may have 1 connections" in await door.get(token, at(site))
        first.close()
        await until(lambda: door.broker._connections == 0, "it is closed")
        assert status(await door.get(token, at(site))) == 200


async def test_the_end_of_a_call_closes_its_connections_at_once(site: Site, door: Door) -> None:
    ended = asyncio.Event()

    async def waiting(request: web.Request) -> web.StreamResponse:
        try:
            return await site.silent(request)
        finally:
            ended.set()

    site.pages["/"] = waiting
    async with AsyncExitStack() as ends:
        with door.grant(f"page.test:{site.port}") as token:
            reader, writer, _ = await door.tunnel(token, f"page.test:{site.port}")
            ends.callback(writer.close)
            asking = asyncio.create_task(door.get(token, at(site)))
            await until(lambda: site.paths == ["/"], "it is asked")
        assert await asyncio.wait_for(reader.read(), 1) == b""
        assert await asyncio.wait_for(asking, 1) == ""
    await until(lambda: door.broker._connections == 0, "all is closed")


async def test_hosts_that_do_not_answer_are_told_apart(site: Site, door: Door, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ANSWER_S", 0.2)
    site.pages |= {"/silent": site.silent, "/breaking": site.breaking}
    port = free_port()
    with door.grant(f"page.test:{site.port}") as token:
        assert "504 page.test:" in await door.get(token, at(site, "/silent"))
        answer = await door.get(token, at(site, "/breaking"))
        assert answer.startswith("HTTP/1.1 200")
        assert answer.endswith("<html>")
    async with opened(names, fetch_allow=(f"page.test:{port}",)) as other:
        with other.grant(f"page.test:{port}") as token:
            assert f"502 page.test cannot be reached on port {port}" in await other.get(token, f"http://page.test:{port}/")

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 a server of mail\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(nonsense, "127.0.0.1", port), opened(names, fetch_allow=(f"page.test:{port}",)) as other:
        with other.grant(f"page.test:{port}") as token:
            assert "502 page.test gave an answer that cannot be read" in await other.get(token, f"http://page.test:{port}/")


async def test_what_is_no_request_is_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_S", 0.2)
    assert status(await door.ask("nonsense\r\n\r\n")) == 400
    assert status(await door.ask(f"GET http://page.test/ HTTP/1.1\r\nX: {'x' * 40_000}\r\n\r\n")) == 400
    assert status(await door.ask("GET http://page.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")) == 400
    assert await door.ask("GET http://page.test/ HTTP/1.1\r\n") == "", "it never says the rest"
    await until(lambda: door.broker._connections == 0, "all is closed")


async def test_all_calls_together_have_so_many_connections(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 1)
    _, first = await door.connect("")
    await until(lambda: door.broker._connections == 1, "it is there")
    assert await door.ask("") == ""
    first.close()
