"""The broker by itself, asked over a door on this machine."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from msgspec.structs import replace

from core.settings import Settings
from pipelines.sandbox.broker import broker as module
from pipelines.sandbox.broker import exchange
from pipelines.sandbox.broker.broker import Broker
from pipelines.sandbox.outcome import Limits
from tests.polling import until
from tests.ports import free_port
from tests.web_pages import Names, Site, html, moved, typed

LIMITS = Limits()


class Door:
    """A broker that serves on a port of this machine, and what it says to raw bytes."""

    def __init__(self, settings: Settings, names: Names) -> None:
        self.broker = Broker(settings, names)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0)

    @contextmanager
    def grant(self, *hosts: str, limits: Limits = LIMITS) -> Iterator[str]:
        with self.broker.grant(hosts, limits, self.socket) as proxy:
            address = urlsplit(proxy)
            yield base64.b64encode(f"{address.username}:{address.password}".encode()).decode()

    async def connect(self, said: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.socket.getsockname())
        writer.write(said.encode())
        return reader, writer

    async def ask(self, said: str) -> str:
        """All of the answer, as far as it comes."""
        reader, writer = await self.connect(said)
        try:
            return (await reader.read(-1)).decode()
        finally:
            writer.close()

    async def get(self, token: str, url: str, *more: str) -> str:
        return await self.ask("\r\n".join((f"GET {url} HTTP/1.1", "Host: x", f"Proxy-Authorization: Basic {token}", *more, "", "")))

    async def tunnel(self, token: str, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        reader, writer = await self.connect(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {token}\r\n\r\n")
        return reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode()


@asynccontextmanager
async def opened(names: Names, **settings: Any) -> AsyncIterator[Door]:
    door = Door(Settings(**settings), names)
    async with await door.broker.serve(door.socket):
        yield door
    await door.broker.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().serving() as serving:
        serving.pages["/"] = html("hello")
        yield serving


@pytest.fixture
def names() -> Names:
    return Names(page_test=["127.0.0.1"], inside_test=["10.1.2.3"], metadata_test=["169.254.169.254"], local_test=["127.0.0.1", "::1"])


@pytest.fixture
async def door(site: Site, names: Names) -> AsyncIterator[Door]:
    allowed = (f"page.test:{site.port}", "169.254.169.254")
    async with opened(names, fetch_allow=allowed) as made:
        yield made


def at(site: Site, path: str = "/") -> str:
    return f"http://page.test:{site.port}{path}"


def status(answer: str) -> int:
    return int(answer.split()[1])


async def test_what_is_for_the_broker_and_for_one_hop_does_not_travel_on(site: Site, door: Door) -> None:
    with door.grant(f"page.test:{site.port}") as token:
        more = ("Connection: keep-alive, X-Hop", "X-Hop: 1", "X-Kept: 2", "Proxy-Connection: keep-alive", "TE: trailers", "Upgrade: h2c")
        answer = await door.get(token, at(site), *more)
    assert answer.endswith("\r\n\r\nhello")
    ((_, headers),) = site.seen
    assert headers == {"Host": f"page.test:{site.port}", "x-kept": "2", "Connection": "close"}


async def test_a_host_cannot_be_asked_for_another_behind_it(site: Site, door: Door) -> None:
    with door.grant(f"page.test:{site.port}") as token:
        await door.ask(f"GET {at(site)} HTTP/1.1\r\nHost: other.test\r\nProxy-Authorization: Basic {token}\r\n\r\n")
    assert site.seen[0][1]["Host"] == f"page.test:{site.port}"


@pytest.mark.parametrize(
    "framing", ["Content-Length: 5\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n3\r\n345\r\n0\r\n\r\n"]
)
async def test_a_body_arrives_however_its_length_is_told(site: Site, door: Door, framing: str) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return typed(await request.read(), "text/plain")

    site.pages["/"] = echo
    with door.grant(f"page.test:{site.port}") as token:
        answer = await door.ask(f"POST {at(site)} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {token}\r\n{framing}")
        assert answer.endswith("\r\n\r\n12345")
        head = f"POST {at(site)} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {token}\r\n"
        waiting, writer = await door.connect(f"{head}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await waiting.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"ab")
        assert (await waiting.read(-1)).endswith(b"ab")
        writer.close()


async def test_without_the_token_of_a_call_that_runs_nothing_is_asked(site: Site, door: Door) -> None:
    with door.grant(f"page.test:{site.port}") as ended:
        pass
    with door.grant(f"page.test:{site.port}"):
        for said in ("", "x", ended, base64.b64encode(b"call:").decode(), "é"):
            answer = await door.get(said, at(site))
            assert status(answer) in {407, 400}
            assert ("Proxy-Authenticate: Basic" in answer) is (status(answer) == 407)
        assert status(await door.ask(f"GET {at(site)} HTTP/1.1\r\nHost: x\r\n\r\n")) == 407
        assert status(await door.ask("CONNECT page.test:443 HTTP/1.1\r\nHost: x\r\n\r\n")) == 407
    assert site.seen == []


async def test_a_token_opens_its_own_calls_hosts_only(site: Site, door: Door) -> None:
    with door.grant(f"page.test:{site.port}") as mine, door.grant("other.test") as others:
        assert status(await door.get(mine, at(site))) == 200
        assert status(await door.get(others, at(site))) == 403


@pytest.mark.parametrize(
    ("hosts", "url", "code", "words"),
    [
        (("page.test",), "http://other.test/", 403, "This function may not reach other.test on port 80. Ask an administrator"),
        (("page.test",), "http://page.test:{port}/", 403, "may not reach page.test on port"),
        (("page.test",), "http://127.0.0.1:{port}/", 403, "may not reach 127.0.0.1"),
        (("page.test",), "http://page.test@other.test/", 403, "may not reach other.test"),
        (("inside.test",), "http://inside.test/", 403, "inside.test is at a private address"),
        (("local.test:{port}",), "http://local.test:{port}/", 403, "local.test is at a loopback address"),
        (("page.test",), "http://page.test/", 403, "not fetched on port 80"),
        (("metadata.test",), "http://metadata.test/", 403, "never fetched"),
        (("nobody.test",), "http://nobody.test/", 502, "nobody.test cannot be found"),
        (("page.test",), "http://ann:secret@page.test/", 403, "Leave them out"),
        (("page.test",), "https://page.test/", 400, "CONNECT host:port for https"),
        (("page.test",), "/", 400, "CONNECT host:port for https"),
        (("page.test",), "ftp://page.test/", 400, "CONNECT host:port for https"),
        (("page.test",), "http://page.test:99999/", 400, "CONNECT host:port for https"),
    ],
)
async def test_what_is_refused_says_why(site: Site, door: Door, hosts: tuple[str, ...], url: str, code: int, words: str) -> None:
    with door.grant(*(host.format(port=site.port) for host in hosts)) as token:
        answer = await door.get(token, url.format(port=site.port))
    assert status(answer) == code, answer
    assert answer.count(words) == 2, "in its reason, too: of a tunnel that is all that clients show"
    assert site.seen == []


async def test_tunnels_are_looked_at_in_the_same_way(site: Site, door: Door) -> None:
    with door.grant(f"page.test:{site.port}", "inside.test") as token:
        for target, code in (("other.test:443", 403), (f"127.0.0.1:{site.port}", 403), ("inside.test:443", 403), ("page.test", 400)):
            _, writer, answer = await door.tunnel(token, target)
            writer.close()
            assert status(answer) == code
        reader, writer, answer = await door.tunnel(token, f"page.test:{site.port}")
        assert answer == "HTTP/1.1 200 Connected\r\n\r\n"
        writer.write(b"GET /inner HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n")
        assert status((await reader.read(-1)).decode()) == 404
        writer.close()
    assert site.paths == ["/inner"]


async def test_only_what_may_be_fetched_at_all_is_reached(site: Site, names: Names) -> None:
    async with opened(names, fetch_allow=(f"page.test:{site.port}",), fetch_only=("*.example.org",)) as door:
        with door.grant(f"page.test:{site.port}") as token:
            answer = await door.get(token, at(site))
    assert (status(answer), "PENSTOCK_FETCH_ONLY" in answer, site.seen) == (403, True, [])


async def test_a_name_is_looked_up_once_and_what_was_checked_is_asked(site: Site) -> None:
    class Changing(Names):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            self.addresses[host] = ["127.0.0.2"]
            return found

    changing = Changing(page_test=["127.0.0.1"])
    async with opened(changing, fetch_allow=(f"127.0.0.1:{site.port}",)) as door:
        with door.grant(f"page.test:{site.port}") as token:
            assert status(await door.get(token, at(site))) == 200
            assert changing.asked == ["page.test"]
            assert "loopback" in await door.get(token, at(site))
    assert site.paths == ["/"]


async def test_a_redirect_is_given_back_and_not_followed(site: Site, door: Door) -> None:
    site.pages["/"] = moved("http://other.test/")
    with door.grant(f"page.test:{site.port}") as token:
        assert status(await door.get(token, at(site))) == 302
    assert site.paths == ["/"]


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
