"""The broker by itself, asked over a door on this machine: who, whither, and what goes on."""

import base64
import socket

import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult

from tests.pipelines.sandbox.door import Door, at, opened, status
from tests.web_pages import Names, Site, moved, typed


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
