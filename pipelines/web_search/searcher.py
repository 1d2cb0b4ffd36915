"""Asking the engine, and what goes wrong with that in words."""

from urllib.parse import urlsplit

import aiohttp
import msgspec

from core.errors import UpstreamAuth, UpstreamBroken, UpstreamError, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from core.models.web_search import SearchWeb, WebPage
from core.security import redact_url
from core.settings import Settings
from pipelines.web_search.duckduckgo import DuckDuckGo
from pipelines.web_search.engines import Engine, Request, engine_of

TIMEOUT_S = 20
MOST_BYTES = 4_000_000
OK, UNAUTHORIZED, FORBIDDEN, TOO_MANY = 200, 401, 403, 429


class Searcher:
    """``search`` raises UpstreamError and its kinds: they name the engine and say what to do, and never hold the key."""

    def __init__(self, settings: Settings) -> None:
        self._engine = engine_of(settings)
        self._client: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the client session."""
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def close(self) -> None:
        """Close it."""
        if self._client:
            await self._client.close()
        if isinstance(self._engine, DuckDuckGo):
            self._engine.close()

    async def search(self, wanted: SearchWeb) -> list[WebPage]:
        """As many as are wanted, the best first, each address once, and only addresses of the web."""
        engine = self._engine
        if engine is None or self._client is None:
            message = "This worker has no search engine: start it with the same PENSTOCK_WEB_SEARCH as the web process."
            raise UpstreamRefused(message)
        pages = await (engine.find(wanted) if isinstance(engine, DuckDuckGo) else self._find(engine, wanted, self._client))
        found = {page.link: page for page in reversed(pages) if urlsplit(page.link).scheme in {"http", "https"}}
        return list(reversed(found.values()))[: wanted.count]

    async def _find(self, engine: Engine, wanted: SearchWeb, client: aiohttp.ClientSession) -> list[WebPage]:
        body = await self._ask(engine, engine.ask(wanted), client)
        try:
            return engine.read(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            message = f"{engine.name} answered with something that is no list of results. Look at PENSTOCK_WEB_SEARCH_URL."
            raise UpstreamBroken(message) from None

    async def _ask(self, engine: Engine, asked: Request, client: aiohttp.ClientSession) -> bytes:
        try:
            async with client.request(
                asked.method, asked.url, params=asked.query, headers=asked.headers, json=asked.body, allow_redirects=False
            ) as response:
                if response.status != OK:
                    raise _refusal(engine, response)
                return await _read(engine, response)
        except TimeoutError:
            message = f"{engine.name} did not answer within {TIMEOUT_S} seconds. Ask again later."
            raise UpstreamTimeout(message) from None
        except (aiohttp.ClientError, OSError, ValueError):
            message = f"{engine.name} cannot be reached at {redact_url(asked.url)}. Look at PENSTOCK_WEB_SEARCH_URL and the network."
            raise UpstreamRefused(message) from None


async def _read(engine: Engine, response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            message = f"{engine.name} answered with more than {MOST_BYTES // 1_000_000} MB. Ask for fewer results."
            raise UpstreamBroken(message)
    return bytes(body)


def _refusal(engine: Engine, response: aiohttp.ClientResponse) -> UpstreamError:
    status, known = response.status, engine.refusals.get(response.status)
    if known:
        return UpstreamAuth(f"{engine.name} refuses to answer (status {status}). {known}")
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return UpstreamAuth(f"{engine.name} refuses our key. Look at PENSTOCK_WEB_SEARCH_API_KEY.")
    if status == TOO_MANY:
        wait = response.headers.get("Retry-After", "")
        return UpstreamLimited(
            f"{engine.name} is being asked too often. Ask again later.",
            retry_after=int(wait) if wait.isascii() and wait.isdigit() else None,
        )
    return UpstreamError(f"{engine.name} failed with status {status}. Ask again later.")
