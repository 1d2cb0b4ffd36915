"""Fetching one address, guarded and bounded."""

import asyncio
import re
import ssl
from collections.abc import Callable

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from core.errors import BadRequest, TooLarge, UnsupportedType, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from core.settings import Settings
from pipelines.fetching.guard import Guard, plain_host
from pipelines.fetching.resolver import GuardedResolver, LookUps

TIMEOUT_S = 15
MOST_BYTES = 4_000_000
MOST_REDIRECTS = 5
CONNECTIONS = 32
OK, REDIRECTS = 200, frozenset({301, 302, 303, 307, 308})
HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Penstock)",
    "Accept": "text/html, application/xhtml+xml, text/*;q=0.9, application/pdf;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
}

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """``url``: where it was in the end. ``media_type`` and ``charset``: as its server says, in small letters; empty where it does not."""

    url: str
    media_type: str
    charset: str
    body: bytes


class Fetcher:
    """``fetch`` gives what is at an address on the web. ``resolver`` and ``trust``: other than the system's, for tests."""

    def __init__(self, settings: Settings, resolver: AbstractResolver | None = None, trust: ssl.SSLContext | None = None) -> None:
        self._guard = Guard(settings)
        self._resolver = resolver
        self._trust = trust
        self._client: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the client session. It follows no redirect by itself, keeps no cookie and no look-up, and asks no proxy."""
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._resolver or LookUps(), self._guard),
            use_dns_cache=False,
            force_close=True,
            limit=CONNECTIONS,
            ssl=self._trust or True,
        )
        self._client = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=HEADERS, timeout=aiohttp.ClientTimeout(total=None)
        )

    async def close(self) -> None:
        """Close it."""
        if self._client:
            await self._client.close()

    async def fetch(self, address: str, accepts: Callable[[str], bool] = lambda _: True) -> Fetched:
        """What is there, redirects followed; ``accepts``: whether a media type is wanted, asked before the rest is read.

        Raises BadRequest for what may not be fetched, UnsupportedType for what is not wanted, TooLarge, UpstreamTimeout, UpstreamRefused
        where nobody answers, UpstreamBroken for an answer that cannot be read, UpstreamError for an error page.
        """
        url = parse(address)
        host = plain_host(url)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._follow(url, accepts)
        except TimeoutError:
            message = f"{host} did not give this page within {TIMEOUT_S} seconds. Try again later."
            raise UpstreamTimeout(message) from None
        except aiohttp.ClientConnectorDNSError:
            message = f"{host} cannot be found. Look at how the name is written."
            raise UpstreamRefused(message) from None
        except aiohttp.ClientSSLError:
            message = f"{host} has no certificate that can be trusted, so it was not asked. Give another address."
            raise UpstreamRefused(message) from None
        except aiohttp.ClientConnectorError:
            message = f"{host} cannot be reached. Try again later."
            raise UpstreamRefused(message) from None
        except (aiohttp.ClientError, OSError, ValueError):
            message = f"{host} gave an answer that cannot be read, or broke off. Try again later."
            raise UpstreamBroken(message) from None

    async def _follow(self, url: URL, accepts: Callable[[str], bool]) -> Fetched:
        if self._client is None:
            message = "This worker's fetcher is not open."
            raise RuntimeError(message)
        for _ in range(MOST_REDIRECTS + 1):
            self._guard.check(url)
            async with self._client.get(url, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    return await _take(response, accepts)
                url = _next(url, response)
        message = f"{plain_host(url)} redirects more than {MOST_REDIRECTS} times. Give the address where the page is."
        raise UpstreamBroken(message)


def parse(address: str) -> URL:
    """Raises BadRequest for what is no address."""
    try:
        return URL(address.strip())
    except ValueError:
        message = "This is no address that can be fetched. Give one such as https://example.com/page."
        raise BadRequest(message) from None


def _next(url: URL, response: aiohttp.ClientResponse) -> URL:
    try:
        return url.join(URL(response.headers["Location"]))
    except (KeyError, ValueError):
        message = f"{plain_host(url)} redirects to nowhere. Give the address where the page is."
        raise UpstreamBroken(message) from None


async def _take(response: aiohttp.ClientResponse, accepts: Callable[[str], bool]) -> Fetched:
    host = plain_host(response.url)
    if response.status != OK:
        message = f"{host} answered with status {response.status} instead of the page. Look at the address, or try again later."
        raise UpstreamError(message)
    said = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    media_type = said if _MEDIA_TYPE.fullmatch(said) else ""
    if not accepts(media_type):
        message = f"{host} gave {media_type or 'something without a type'}, which is not read. Give the address of a page or a document."
        raise UnsupportedType(message)
    large = f"{host} gave more than {MOST_BYTES // 1_000_000} MB, which is the limit here. Give the address of a smaller page."
    if (response.content_length or 0) > MOST_BYTES:
        raise TooLarge(large)
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            raise TooLarge(large)
    return Fetched(url=str(response.url), media_type=media_type, charset=(response.charset or "").lower(), body=bytes(body))
