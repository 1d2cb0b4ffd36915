"""What each search engine that speaks HTTP and JSON is asked, and what its answer means.

Sources: SearXNG's search API; Brave's Web Search API; Tavily's search endpoint. None is asked for more than it may give at once.
"""

import html
import re
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from core.models.web_search import SearchWeb, WebPage
from core.settings import SearchEngine, Settings
from pipelines.web_search.duckduckgo import DuckDuckGo

BRAVE_URL = "https://api.search.brave.com"
TAVILY_URL = "https://api.tavily.com"

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request to an engine. ``body``: JSON, where it is posted."""

    method: str
    url: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: Any = None


class Engine(Protocol):
    """One engine. ``name``: as people know it. ``refusals``: statuses of its own that mean that it refuses us, with what to do about it."""

    name: str
    refusals: Mapping[int, str]

    def ask(self, wanted: SearchWeb) -> Request:
        """The request for a search."""

    def read(self, body: bytes) -> list[WebPage]:
        """What it found. Raises msgspec.MsgspecError for what is no answer of this engine's."""


class _Listed(msgspec.Struct, frozen=True):
    """A page, in the words of all three."""

    url: str
    title: str | None = None
    content: str | None = None
    description: str | None = None

    def page(self) -> WebPage:
        return WebPage(title=plain(self.title or self.url), link=self.url, snippet=plain(self.content or self.description or ""))


class _Results(msgspec.Struct, frozen=True):
    results: list[_Listed] = []


class _BraveAnswer(msgspec.Struct, frozen=True):
    web: _Results = _Results()


class Searxng:
    """A SearXNG of one's own; its URL may carry a user and a password for a proxy before it."""

    name = "SearXNG"
    refusals: Mapping[int, str] = {403: "It gives no JSON: add json to search.formats in its settings.yml."}

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def ask(self, wanted: SearchWeb) -> Request:
        """One page of results; it has no limit of its own."""
        return Request(method="GET", url=f"{self._url}/search", query={"q": wanted.query, "format": "json"})

    def read(self, body: bytes) -> list[WebPage]:
        """Its ``results``."""
        return [listed.page() for listed in msgspec.json.decode(body, type=_Results).results]


class Brave:
    """Brave's API."""

    name = "Brave"
    refusals: Mapping[int, str] = {422: "Its answer to a key that it does not know, too: look at PENSTOCK_WEB_SEARCH_API_KEY."}

    def __init__(self, url: str, key: str) -> None:
        self._url = (url or BRAVE_URL).rstrip("/")
        self._key = key

    def ask(self, wanted: SearchWeb) -> Request:
        """At most 20 pages at once."""
        query = {"q": wanted.query, "count": str(wanted.count)}
        headers = {"Accept": "application/json", "X-Subscription-Token": self._key}
        return Request(method="GET", url=f"{self._url}/res/v1/web/search", query=query, headers=headers)

    def read(self, body: bytes) -> list[WebPage]:
        """Its ``web.results``; of what nobody writes about there is no ``web``."""
        return [listed.page() for listed in msgspec.json.decode(body, type=_BraveAnswer).web.results]


class Tavily:
    """Tavily's API."""

    name = "Tavily"
    refusals: Mapping[int, str] = {
        432: "The plan's or the key's limit is reached: see its dashboard.",
        433: "The limit of what may be paid is reached: see its dashboard.",
    }

    def __init__(self, url: str, key: str) -> None:
        self._url = (url or TAVILY_URL).rstrip("/")
        self._key = key

    def ask(self, wanted: SearchWeb) -> Request:
        """At most 20 pages at once."""
        body = {"query": wanted.query, "max_results": wanted.count}
        return Request(method="POST", url=f"{self._url}/search", headers={"Authorization": f"Bearer {self._key}"}, body=body)

    def read(self, body: bytes) -> list[WebPage]:
        """Its ``results``."""
        return [listed.page() for listed in msgspec.json.decode(body, type=_Results).results]


def engine_of(settings: Settings) -> Engine | DuckDuckGo | None:
    """The one that the settings name."""
    url, key = settings.web_search_url, settings.web_search_api_key
    if settings.web_search is SearchEngine.SEARXNG:
        return Searxng(url)
    if settings.web_search is SearchEngine.BRAVE:
        return Brave(url, key)
    if settings.web_search is SearchEngine.DUCKDUCKGO:
        return DuckDuckGo(proxy=url)
    return Tavily(url, key) if settings.web_search is SearchEngine.TAVILY else None


def plain(text: str) -> str:
    """Without the marks that engines set around words, and on one line."""
    return " ".join(html.unescape(_TAG.sub("", text)).split())
