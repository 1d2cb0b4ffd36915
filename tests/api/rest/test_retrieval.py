"""Searching the web over REST, with a real worker's part and an engine that speaks its own protocol."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from core.jobs import SEARCH_WEB
from core.services import Services
from core.settings import SearchEngine, Settings
from pipelines.fetching.fetcher import Fetcher
from pipelines.web_search.page_texts import PageTexts
from pipelines.web_search.searcher import Searcher
from tests.api.conftest import Client
from tests.search_engines import Engines
from tests.web_pages import Site, html
from tests.worker_parts import working
from workers.actors.web_searches import PAGE_LIMITS, WebSearches
from workers.children import Children

PATH = "/api/retrieval/web"
FOUND = (("Latest AI news", "https://news.example.com/ai", "What happened."), ("More", "https://more.example.com/", "Else."))


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    async with Engines(FOUND).serving() as serving:
        yield serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().serving() as serving:
        yield serving


@pytest.fixture
def settings(settings: Settings, engines: Engines, site: Site) -> Settings:
    return msgspec.structs.replace(
        settings, web_search=SearchEngine.SEARXNG, web_search_url=engines.url, fetch_allow=(f"127.0.0.1:{site.port}",)
    )


@pytest.fixture
async def searching(services: Services) -> AsyncIterator[None]:
    """A worker of the CPU pool, in this process."""
    searcher = Searcher(services.settings)
    await searcher.open()
    async with Children(PAGE_LIMITS, 1) as children:
        page_texts = PageTexts(Fetcher(services.settings), children)
        await page_texts.open()
        actor = WebSearches(results=services.results, searcher=searcher, page_texts=page_texts)
        async with working(services, "here", {SEARCH_WEB: actor}):
            yield
        await page_texts.close()
    await searcher.close()


@pytest.mark.usefixtures("searching")
async def test_pages_are_found_and_nothing_of_the_search_stays(bob: Client, services: Services) -> None:
    reply = await bob.post(PATH, {"query": "Latest AI news", "count": 5})
    pages = [{"title": title, "link": link, "snippet": snippet} for title, link, snippet in FOUND]
    assert (reply.status, reply.body) == (200, {"status": True, "query": "Latest AI news", "results": pages, "items": pages})
    assert await services.redis.keys("job:*") == []


@pytest.mark.usefixtures("searching")
async def test_nothing_found_is_an_empty_list(bob: Client, engines: Engines) -> None:
    engines.found = ()
    reply = await bob.post(PATH, {"query": "qwertyuiop"})
    assert (reply.status, reply.body["results"]) == (200, [])


@pytest.mark.usefixtures("searching")
async def test_pages_come_with_their_text_or_the_reason_why_there_is_none(bob: Client, engines: Engines, site: Site) -> None:
    site.pages["/one"] = html("<h1>Aqueducts</h1><p>They carry water.</p>")
    links = [f"http://127.0.0.1:{site.port}/one", f"http://127.0.0.1:{site.port}/two", "http://10.0.0.1/"]
    engines.found = tuple((f"{number}", link, "s") for number, link in enumerate(links))
    reply = await bob.post(PATH, {"query": "aqueducts", "content": True})
    one, two, three = reply.body["results"]
    assert one == {"title": "0", "link": links[0], "snippet": "s", "content": "Aqueducts\n\nThey carry water."}
    assert (two.keys(), "status 404" in two["error"]) == ({"title", "link", "snippet", "error"}, True)
    assert "private address" in three["error"]
    assert all(item.keys() == {"title", "link", "snippet"} for item in reply.body["items"])


@pytest.mark.usefixtures("searching")
async def test_pages_are_not_fetched_where_their_text_is_not_wanted(bob: Client, engines: Engines, site: Site) -> None:
    engines.found = (("x", f"http://127.0.0.1:{site.port}/", "s"),)
    assert (await bob.post(PATH, {"query": "x"})).status == 200
    assert site.seen == []


@pytest.mark.usefixtures("searching")
async def test_what_the_engine_refuses_is_told_in_words(bob: Client, engines: Engines) -> None:
    engines.status, engines.headers = 429, {"Retry-After": "30"}
    reply = await bob.post(PATH, {"query": "x"})
    assert (reply.status, reply.body["detail"], reply.headers["Retry-After"]) == (
        429,
        "SearXNG is being asked too often. Ask again later.",
        "30",
    )
    engines.status = 500
    assert (await bob.post(PATH, {"query": "x"})).status == 502


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": " \n"}, "query: must have something to search for."),
        ({"query": "x" * 401}, "query"),
        ({"query": "x", "count": 0}, "count"),
        ({"query": "x", "count": 21}, "count"),
        ({"query": 7}, "query"),
        ({"query": "x", "content": "yes"}, "content"),
    ],
)
async def test_what_cannot_be_searched_for_is_named(bob: Client, body: dict[str, object], words: str) -> None:
    reply = await bob.post(PATH, body)
    assert (reply.status, words in reply.body["detail"]) == (400, True), reply
