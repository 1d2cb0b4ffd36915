"""DuckDuckGo through the real ddgs, over a proxy that leads it to a server of ours."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.errors import Unavailable, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from core.models.web_search import SearchWeb, WebPage
from core.settings import SearchEngine, Settings
from pipelines.web_search import duckduckgo as module
from pipelines.web_search.duckduckgo import DuckDuckGo
from pipelines.web_search.engines import engine_of
from pipelines.web_search.searcher import Searcher
from tests.duckduckgo import DuckDuckGoServer
from tests.ports import free_port

FOUND = (
    ("Aqueducts &amp; mills", "https://one.example/a", "Water &amp; <b>stone</b> in aqueducts"),
    ("Aqueducts again", "https://one.example/a", "the same"),
    ("An advertisement", "https://duckduckgo.com/y.js?ad=1", "aqueducts"),
    ("A script", "javascript:alert(1)", "aqueducts"),
    ("Third", "https://three.example/?q=1&b=2", "More\n about aqueducts"),
)
WANTED = SearchWeb(query="roman aqueducts & <mills>", count=3)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DuckDuckGoServer]:
    async with DuckDuckGoServer(FOUND).serving(tmp_path) as serving:
        yield serving


@pytest.fixture
async def searcher(server: DuckDuckGoServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Searcher]:
    made = Searcher(Settings(web_search=SearchEngine.DUCKDUCKGO, web_search_url=server.proxy))
    monkeypatch.setattr(made, "_engine", DuckDuckGo(server.proxy, server.authorities))
    await made.open()
    yield made
    await made.close()


async def test_pages_come_each_once_as_plain_text_from_duckduckgo_alone(searcher: Searcher, server: DuckDuckGoServer) -> None:
    found = {page.link: page for page in await searcher.search(WANTED)}
    assert found.keys() == {"https://one.example/a", "https://three.example/?q=1&b=2"}
    assert found["https://one.example/a"] == WebPage(
        title="Aqueducts & mills", link="https://one.example/a", snippet="Water & stone in aqueducts"
    )
    assert [form["q"] for form in server.seen] == [WANTED.query]
    assert server.hosts == ["html.duckduckgo.com:443"]


async def test_no_more_than_wanted(searcher: Searcher) -> None:
    assert len(await searcher.search(SearchWeb(query="aqueducts", count=1))) == 1


@pytest.mark.parametrize("status", [200, 202, 403, 429, 500])
async def test_nothing_found_and_a_refusal_are_told_together_because_ddgs_does_not_tell_them_apart(
    searcher: Searcher, server: DuckDuckGoServer, status: int
) -> None:
    server.status, server.body = status, "<html><body>Unfortunately, bots use DuckDuckGo too.</body></html>"
    with pytest.raises(UpstreamError, match=r"gave no results: it found nothing, or it refuses to be asked so often"):
        await searcher.search(WANTED)


async def test_what_is_no_page_is_told(searcher: Searcher, server: DuckDuckGoServer) -> None:
    server.body = "<!-- -->"
    with pytest.raises(UpstreamBroken, match="cannot read"):
        await searcher.search(WANTED)


async def test_one_that_says_nothing_is_given_up_and_the_loop_goes_on_meanwhile(
    searcher: Searcher, server: DuckDuckGoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 1)
    server.silent = True
    turns = 0
    searching = asyncio.create_task(searcher.search(WANTED))
    while not searching.done():
        await asyncio.wait((searching,), timeout=0.01)
        turns += 1
    with pytest.raises(UpstreamTimeout, match="DuckDuckGo did not answer within 1 seconds"):
        await searching
    assert turns > 20


async def test_one_that_cannot_be_reached_or_trusted_is_told_without_the_proxys_password(server: DuckDuckGoServer) -> None:
    for proxy in (f"http://ann:s3cret@127.0.0.1:{free_port()}", server.proxy):
        engine = DuckDuckGo(proxy)
        with pytest.raises(UpstreamRefused, match=r"DuckDuckGo cannot be reached\. Look at the network") as refused:
            await engine.find(WANTED)
        engine.close()
        assert "s3cret" not in refused.value.detail
    assert server.seen == []


async def test_where_ddgs_is_not_installed_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ddgs", None)
    engine = DuckDuckGo()
    with pytest.raises(Unavailable, match=r"Install penstock\[cpu\], or set PENSTOCK_WEB_SEARCH to another engine"):
        await engine.find(WANTED)
    engine.close()


def test_it_is_chosen_by_its_name_and_needs_no_key() -> None:
    assert isinstance(engine_of(Settings(web_search=SearchEngine.DUCKDUCKGO)), DuckDuckGo)
