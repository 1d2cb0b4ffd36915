"""What engines find, and what they say where they find nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.errors import PenstockError, UpstreamAuth, UpstreamBroken, UpstreamError, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from core.models.web_search import SearchWeb, WebPage
from core.settings import SearchEngine, Settings
from pipelines.web_search import searcher as module
from pipelines.web_search.searcher import Searcher
from tests.ports import free_port
from tests.search_engines import KEY, Engines

FOUND = (
    ("Aqueducts", "https://one.example/a", "Water &amp; <strong>stone</strong>"),
    ("Aqueducts again", "https://one.example/a", "the same address"),
    ("", "http://two.example/", ""),
    ("A script", "javascript:alert(1)", "no page"),
    ("Third", "https://three.example/?q=1&b=%20", "More\n about\twater"),
)
WANTED = SearchWeb(query="roman aqueducts & <mills>", count=3)
ENGINES = [SearchEngine.SEARXNG, SearchEngine.BRAVE, SearchEngine.TAVILY]


@asynccontextmanager
async def opened(engine: SearchEngine, url: str, key: str = KEY) -> AsyncIterator[Searcher]:
    searcher = Searcher(Settings(web_search=engine, web_search_url=url, web_search_api_key=key))
    await searcher.open()
    try:
        yield searcher
    finally:
        await searcher.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_pages_come_in_the_engines_order_each_once_as_plain_text(engine: SearchEngine) -> None:
    async with Engines(FOUND).serving() as engines, opened(engine, f"{engines.url}/") as searcher:
        assert await searcher.search(WANTED) == [
            WebPage(title="Aqueducts", link="https://one.example/a", snippet="Water & stone"),
            WebPage(title="http://two.example/", link="http://two.example/", snippet=""),
            WebPage(title="Third", link="https://three.example/?q=1&b=%20", snippet="More about water"),
        ]
        ((name, asked),) = engines.seen
    assert name == engine.value
    words: dict[str, Any] = {
        "searxng": {"q": WANTED.query, "format": "json"},
        "brave": {"q": WANTED.query, "count": "3"},
        "tavily": {"query": WANTED.query, "max_results": 3},
    }
    assert asked == words[name]


@pytest.mark.parametrize("engine", ENGINES)
async def test_no_more_than_wanted_and_nothing_is_an_answer(engine: SearchEngine) -> None:
    async with Engines(FOUND).serving() as engines, opened(engine, engines.url) as searcher:
        assert len(await searcher.search(SearchWeb(query="x", count=1))) == 1
        engines.found = ()
        assert await searcher.search(WANTED) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "words"),
    [
        (401, {}, None, UpstreamAuth, "refuses our key"),
        (429, {"Retry-After": "7"}, None, UpstreamLimited, "asked too often"),
        (500, {}, None, UpstreamError, "failed with status 500"),
        (302, {"Location": "http://169.254.1.1/"}, None, UpstreamError, "failed with status 302"),
        (200, {}, b"<html>sign in", UpstreamBroken, "no list of results"),
        (200, {}, b'{"results": 7, "web": 7}', UpstreamBroken, "no list of results"),
        (200, {}, b"\xff\xfe", UpstreamBroken, "no list of results"),
    ],
)
async def test_what_goes_wrong_names_the_engine_and_no_key(
    engine: SearchEngine, status: int, headers: dict[str, str], body: bytes | None, error: type[PenstockError], words: str
) -> None:
    async with Engines().serving() as engines, opened(engine, engines.url) as searcher:
        engines.status, engines.headers, engines.body = status, headers, body
        with pytest.raises(error, match=words) as raised:
            await searcher.search(WANTED)
    assert raised.value.detail.lower().startswith(engine.value)
    assert KEY not in raised.value.detail
    assert raised.value.retry_after == (7 if status == 429 else None)


@pytest.mark.parametrize(
    ("engine", "words"), [(SearchEngine.BRAVE, "PENSTOCK_WEB_SEARCH_API_KEY"), (SearchEngine.TAVILY, "refuses our key")]
)
async def test_a_wrong_key_is_told_without_it(engine: SearchEngine, words: str) -> None:
    async with Engines(FOUND).serving() as engines, opened(engine, engines.url, "another key") as searcher:
        with pytest.raises(UpstreamAuth, match=words) as raised:
            await searcher.search(WANTED)
    assert "another key" not in raised.value.detail


async def test_a_searxng_without_json_says_what_to_add() -> None:
    async with Engines().serving() as engines, opened(SearchEngine.SEARXNG, engines.url) as searcher:
        engines.status = 403
        with pytest.raises(UpstreamAuth, match=r"add json to search\.formats"):
            await searcher.search(WANTED)


async def test_an_engine_that_is_not_there_is_named_by_its_address_without_its_password() -> None:
    url = f"http://ann:s3cret@127.0.0.1:{free_port()}"
    async with opened(SearchEngine.SEARXNG, url) as searcher:
        with pytest.raises(UpstreamRefused, match=r"SearXNG cannot be reached at http://127\.0\.0\.1") as raised:
            await searcher.search(WANTED)
    assert "s3cret" not in raised.value.detail


async def test_an_engine_that_says_too_much_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1_000)
    async with Engines().serving() as engines, opened(SearchEngine.SEARXNG, engines.url) as searcher:
        engines.body = b" " * 2_000
        with pytest.raises(UpstreamBroken, match="more than"):
            await searcher.search(WANTED)


async def test_an_engine_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    gone = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", unused_tcp_port)
    async with server, opened(SearchEngine.SEARXNG, f"http://127.0.0.1:{unused_tcp_port}") as searcher:
        with pytest.raises(UpstreamTimeout, match=r"did not answer within 0.2 seconds"):
            await searcher.search(WANTED)
        gone.set()
