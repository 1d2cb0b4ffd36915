"""Fetching from servers on this machine, by names that a resolver of the tests knows."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import ResolveResult

from core.errors import BadRequest, TooLarge, UnsupportedType, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from core.settings import Settings
from pipelines.fetching import fetcher as module
from pipelines.fetching.fetcher import Fetcher
from tests.polling import until
from tests.ports import free_port
from tests.web_pages import Names, Site, html, moved, packed, typed


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().serving() as serving:
        yield serving


@pytest.fixture
def names() -> Names:
    return Names(page_test=["127.0.0.1"], inside_test=["10.1.2.3"], metadata_test=["169.254.169.254"])


@asynccontextmanager
async def opened(names: Names, *allow: str, trust: ssl.SSLContext | None = None) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(Settings(fetch_allow=allow), names, trust)
    await fetcher.open()
    try:
        yield fetcher
    finally:
        await fetcher.close()


@pytest.fixture
async def fetcher(site: Site, names: Names) -> AsyncIterator[Fetcher]:
    async with opened(names, f"page.test:{site.port}") as made:
        yield made


def at(site: Site, path: str) -> str:
    return f"http://page.test:{site.port}{path}"


async def test_a_page_comes_with_what_its_server_says_of_it(site: Site, fetcher: Fetcher) -> None:
    site.pages["/a"] = typed(b"\xe4", "Text/HTML; charset=ISO-8859-1")
    fetched = await fetcher.fetch(at(site, "/a"))
    assert (fetched.url, fetched.media_type, fetched.charset, fetched.body) == (at(site, "/a"), "text/html", "iso-8859-1", b"\xe4")
    ((_, headers),) = site.seen
    assert headers["Host"] == f"page.test:{site.port}"


async def test_what_is_packed_is_unpacked(site: Site, fetcher: Fetcher) -> None:
    site.pages["/"] = typed(gzip.compress(b"text"), "text/plain", **{"Content-Encoding": "gzip"})
    assert (await fetcher.fetch(at(site, "/"))).body == b"text"


async def test_redirects_are_followed_to_where_the_page_is(site: Site, fetcher: Fetcher, names: Names) -> None:
    site.pages |= {"/a": moved("b?c"), "/b": moved(at(site, "/d"), 308), "/d": html("here")}
    assert (await fetcher.fetch(at(site, "/a"))).url == at(site, "/d")
    assert names.asked == ["page.test"] * 3


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("http://127.0.0.1:{other}/", "127.0.0.1 is at a loopback address"),
        ("http://[::ffff:127.0.0.1]:{other}/", "at a loopback address"),
        ("//127.0.0.1:{other}/", "at a loopback address"),
        ("http://inside.test/", "inside.test is at a private address"),
        ("http://metadata.test/", "never fetched"),
        ("http://page.test:{other}/", "not fetched on port"),
        ("http://ann:secret@page.test:{port}/", "Leave them out"),
        ("file:///etc/passwd", "begin with http"),
        ("http://127.1:{other}/", "four numbers"),
    ],
)
async def test_a_redirect_is_looked_at_like_the_first_address(site: Site, fetcher: Fetcher, to: str, words: str) -> None:
    async with Site().serving() as other:
        site.pages["/"] = moved(to.format(other=other.port, port=site.port))
        with pytest.raises(BadRequest, match=words):
            await fetcher.fetch(at(site, "/"))
    assert (site.paths, other.seen) == (["/"], [])


async def test_a_name_is_looked_up_once_and_what_was_checked_is_asked(site: Site) -> None:
    class Changing(Names):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            self.addresses[host] = ["127.0.0.2"]
            return found

    changing = Changing(page_test=["127.0.0.1"])
    site.pages["/"] = html("x")
    async with opened(changing, f"127.0.0.1:{site.port}") as fetcher:
        await fetcher.fetch(at(site, "/"))
        assert changing.asked == ["page.test"]
        with pytest.raises(BadRequest, match="loopback"):
            await fetcher.fetch(at(site, "/"))
    assert (changing.asked, site.paths) == (["page.test"] * 2, ["/"])


async def test_of_a_names_addresses_only_those_that_passed_are_asked(site: Site) -> None:
    async with Site().serving() as other:
        site.pages["/"] = html("x")
        names = Names(page_test=["127.0.0.2", "127.0.0.1", "10.0.0.1"])
        async with opened(names, f"127.0.0.1:{site.port}") as fetcher:
            await fetcher.fetch(at(site, "/"))
    assert (site.paths, other.seen) == (["/"], [])


@pytest.mark.parametrize(
    ("address", "words"),
    [("http://inside.test/", "at a private address"), ("http://metadata.test/", "never fetched"), ("http://page.test/", "on port 80")],
)
async def test_a_name_of_what_may_not_be_asked_is_refused(fetcher: Fetcher, address: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        await fetcher.fetch(address)


async def test_an_address_that_is_written_as_one_needs_no_name(site: Site, names: Names) -> None:
    site.pages["/"] = html("x")
    async with opened(names, f"127.0.0.0/8:{site.port}") as fetcher:
        assert (await fetcher.fetch(f"http://127.0.0.1:{site.port}/")).body == b"x"
        assert (await fetcher.fetch(f"http://[::ffff:127.0.0.1]:{site.port}/")).body == b"x"
    async with opened(names) as fetcher:
        with pytest.raises(BadRequest, match="loopback"):
            await fetcher.fetch(f"http://127.0.0.1:{site.port}/")
    assert (len(site.seen), names.asked) == (2, [])


async def test_too_many_redirects_are_given_up(site: Site, fetcher: Fetcher) -> None:
    site.pages["/"] = moved("/")
    with pytest.raises(UpstreamBroken, match="more than 5 times"):
        await fetcher.fetch(at(site, "/"))
    assert len(site.seen) == 6


@pytest.mark.parametrize("to", ["", "http://[::1", "http://x:port/"])
async def test_a_redirect_to_nowhere_is_told(site: Site, fetcher: Fetcher, to: str) -> None:
    site.pages["/"] = moved(to) if to else web.Response(status=302)
    with pytest.raises(UpstreamBroken, match="redirects to nowhere"):
        await fetcher.fetch(at(site, "/"))


@pytest.mark.parametrize("status", [204, 304, 403, 404, 500])
async def test_an_error_page_is_no_page(site: Site, fetcher: Fetcher, status: int) -> None:
    site.pages["/"] = web.Response(status=status)
    with pytest.raises(UpstreamError, match=f"status {status} instead of the page"):
        await fetcher.fetch(at(site, "/"))


@pytest.mark.parametrize(("kind", "words"), [("image/png", "gave image/png"), ("nonsense", "without a type")])
async def test_what_is_not_wanted_is_not_read(site: Site, fetcher: Fetcher, kind: str, words: str) -> None:
    site.pages["/"] = typed(b"x" * 100, kind)
    with pytest.raises(UnsupportedType, match=words):
        await fetcher.fetch(at(site, "/"), lambda media_type: media_type == "text/html")


@pytest.mark.parametrize("how", ["declared", "endless", "packed"])
async def test_what_is_too_large_is_cut_off_however_it_comes(
    site: Site, fetcher: Fetcher, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1_000_000)
    site.pages |= {"/declared": typed(b"x" * 1_000_001, "text/html"), "/endless": site.endless, "/packed": packed(50_000_000)}
    with pytest.raises(TooLarge, match="gave more than 1 MB"):
        await fetcher.fetch(at(site, f"/{how}"))


@pytest.mark.parametrize("how", ["silent", "dripping"])
async def test_what_is_too_slow_is_given_up(site: Site, fetcher: Fetcher, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    site.pages |= {"/silent": site.silent, "/dripping": site.dripping}
    with pytest.raises(UpstreamTimeout, match=r"page.test did not give this page within 0.3 seconds"):
        await fetcher.fetch(at(site, f"/{how}"))


async def test_a_slow_look_up_counts_too(fetcher: Fetcher, names: Names, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await site.gone.wait()

    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(names, "resolve", never)
    with pytest.raises(UpstreamTimeout):
        await fetcher.fetch(at(site, "/"))


async def test_what_breaks_off_or_is_no_http_is_told(site: Site, fetcher: Fetcher) -> None:
    site.pages |= {"/breaking": site.breaking, "/packed": typed(b"not packed", "text/html", **{"Content-Encoding": "gzip"})}
    for path in site.pages:
        with pytest.raises(UpstreamBroken, match="cannot be read, or broke off"):
            await fetcher.fetch(at(site, path))


async def test_who_is_not_there_is_told(names: Names) -> None:
    port = free_port()
    async with opened(names, f"page.test:{port}") as fetcher:
        with pytest.raises(UpstreamRefused, match=r"page.test cannot be reached"):
            await fetcher.fetch(f"http://page.test:{port}/")
        with pytest.raises(UpstreamRefused, match=r"nobody.test cannot be found"):
            await fetcher.fetch("http://nobody.test/")


async def test_cookies_are_not_kept_and_proxies_not_asked(site: Site, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    site.pages["/"] = html("x", **{"Set-Cookie": "a=b"})
    await fetcher.fetch(at(site, "/"))
    await fetcher.fetch(at(site, "/"))
    assert not any("Cookie" in headers for _, headers in site.seen)


async def test_a_certificate_must_be_of_the_name_and_trusted(names: Names) -> None:
    authority = trustme.CA()
    tls, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("page.test").configure_cert(tls)
    authority.configure_trust(trust)
    names.addresses["other.test"] = ["127.0.0.1"]
    async with Site().serving(tls) as site:
        site.pages["/"] = html("x")
        rules = (f"page.test:{site.port}", f"other.test:{site.port}")
        async with opened(names, *rules, trust=trust) as fetcher:
            assert (await fetcher.fetch(f"https://page.test:{site.port}/")).body == b"x"
            with pytest.raises(UpstreamRefused, match="no certificate that can be trusted"):
                await fetcher.fetch(f"https://other.test:{site.port}/")
        async with opened(names, *rules) as fetcher:
            with pytest.raises(UpstreamRefused, match="no certificate that can be trusted"):
                await fetcher.fetch(f"https://page.test:{site.port}/")
    assert site.paths == ["/"]


async def test_a_fetch_that_is_cancelled_ends_at_once(site: Site, fetcher: Fetcher) -> None:
    site.pages["/"] = site.silent
    fetching = asyncio.create_task(fetcher.fetch(at(site, "/")))
    await until(lambda: site.seen, "the page is asked for")
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
