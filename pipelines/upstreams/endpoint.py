"""One upstream server: what it serves, what it says, and what its errors mean to us.

Sources: OpenAI's API reference, models list; Ollama's API, ``GET /api/tags``.
"""

import time
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec

from core.errors import (
    BadRequest,
    ContextTooLong,
    ModelNotFound,
    PenstockError,
    UpstreamAuth,
    UpstreamError,
    UpstreamLimited,
    UpstreamTimeout,
)
from core.models.catalog import Model, display_name
from core.models.pools import Pool
from core.security import redact_url
from pipelines.upstreams.schemas import Problem, Tags, read_listing, tasks_of

LIST_TIMEOUT_S = 10
REMEMBERED_S = 30.0
LAST_MOMENT = 253_402_300_800  # the end of the year 9999

T = TypeVar("T")


class Endpoint:
    """A server that speaks OpenAI's API. ``running``: answers it is giving now. ``error``: why its models are missing, if they are.

    A user and a password in its URL are sent where there is no key, and told nobody.

    While it cannot be reached its models are remembered for REMEMBERED_S, so that a restart does not look as if they were gone.
    """

    owner = "openai"

    def __init__(self, url: str, key: str = "") -> None:
        self.url = redact_url(url).rstrip("/")
        self._authorization = f"Bearer {key}" if key else _basic(url)
        self.running = 0
        self.models: tuple[Model, ...] = ()
        self.error: str | None = None
        self._seen_at = 0.0
        self._first_seen: dict[str, int] = {}

    @property
    def headers(self) -> dict[str, str]:
        """Its key, where it wants one."""
        return {"Authorization": self._authorization} if self._authorization else {}

    @property
    def listing_url(self) -> str:
        """Where it says what it serves."""
        return f"{self.url}/models"

    async def look(self, client: aiohttp.ClientSession) -> None:
        """Ask what it serves now."""
        try:
            timeout = aiohttp.ClientTimeout(total=LIST_TIMEOUT_S)
            async with client.get(self.listing_url, headers=self.headers, timeout=timeout) as response:
                if response.status != 200:  # noqa: PLR2004 - the one good status
                    raise await read_problem(self, response)
                self.models = self._listed(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError, PenstockError) as error:
            self.error = error.detail if isinstance(error, PenstockError) else f"The upstream {self.url} cannot be reached."
            if isinstance(error, UpstreamAuth) or time.monotonic() - self._seen_at > REMEMBERED_S:
                self.models = ()
            return
        self.error = None
        self._seen_at = time.monotonic()

    def _listed(self, body: bytes) -> tuple[Model, ...]:
        return tuple(
            Model(
                id=row.id,
                name=_text(row.name) or display_name(row.id),
                owned_by=_text(row.owned_by) or self.owner,
                created=_moment(row.created) or self._first_seen.setdefault(row.id, int(time.time())),
                pool=Pool.RELAY,
                tasks=tasks_of(row.id, str(row.type or "")),
            )
            for row in read_listing(body)
        )


class OllamaEndpoint(Endpoint):
    """An Ollama server: asked through its OpenAI route, listed by its own."""

    owner = "ollama"

    def __init__(self, url: str) -> None:
        super().__init__(f"{url.rstrip('/')}/v1")
        self.root = self.url.removesuffix("/v1")

    @property
    def listing_url(self) -> str:
        """Its own list tells sizes and times."""
        return f"{self.root}/api/tags"

    def _listed(self, body: bytes) -> tuple[Model, ...]:
        return tuple(
            Model(
                id=row.name,
                name=display_name(row.name),
                owned_by=self.owner,
                created=_seconds(row.modified_at),
                pool=Pool.RELAY,
                size_bytes=row.size,
                tasks=tasks_of(row.name, (row.details and row.details.family) or ""),
            )
            for row in msgspec.json.decode(body, type=Tags).models or ()
        )


def _basic(url: str) -> str:
    """The header that a user and a password in a URL stand for; empty where there is none."""
    parts = urlsplit(url)
    return aiohttp.encode_basic_auth(unquote(parts.username), unquote(parts.password or "")) if parts.username else ""


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _moment(given: Any) -> int:
    """Unix seconds, as a number or as RFC 3339 has it; 0 for anything else."""
    if isinstance(given, str):
        return _seconds(given)
    return int(given) if isinstance(given, int | float) and 0 < given < LAST_MOMENT else 0


def _seconds(moment: str) -> int:
    """Unix seconds of an RFC 3339 time, 0 where it is none."""
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0


def decode_answer(data: bytes, kind: type[T], endpoint: Endpoint) -> T:
    """What a server answered. Raises UpstreamError where it is not of OpenAI's form."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError:
        message = f"The upstream {endpoint.url} answered with something that is not OpenAI's format."
        raise UpstreamError(message) from None


async def read_problem(endpoint: Endpoint, response: aiohttp.ClientResponse) -> PenstockError:
    """An upstream's error as one of ours; its own words are kept where they are the client's to read."""
    text = (await response.text(errors="replace"))[:4000]
    try:
        said = msgspec.json.decode(text, type=Problem)
    except msgspec.MsgspecError:
        said = Problem()
    words, code = said.words or f"HTTP {response.status}", said.code or None
    status = response.status
    if status in {401, 403}:
        return UpstreamAuth(f"The upstream {endpoint.url} refused our API key. Check PENSTOCK_OPENAI_API_KEYS.")
    if status == 429:  # noqa: PLR2004 - too many requests
        wait = response.headers.get("Retry-After", "")
        return UpstreamLimited(
            f"The upstream {endpoint.url} is being asked too often: {words}",
            retry_after=int(wait) if wait.isdigit() else 1,
            upstream_code=code,
        )
    if status == 404:  # noqa: PLR2004 - not found
        return ModelNotFound(f"The upstream {endpoint.url} answered: {words}", param="model", upstream_code=code)
    if status in {408, 504}:
        return UpstreamTimeout(f"The upstream {endpoint.url} did not answer in time: {words}")
    if 400 <= status < 500:  # noqa: PLR2004 - the client's fault, in the upstream's words
        kind = ContextTooLong if code == ContextTooLong.code else BadRequest
        return kind(words, param=said.param, upstream_code=code)
    return UpstreamError(f"The upstream {endpoint.url} failed: {words}")
