"""One upstream server: what it serves, what it says, and what its errors mean to us."""

from typing import TypeVar

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
from core.models.catalog import Model  # noqa: TC001 - for readers of annotations at run time
from pipelines.upstream_wire import Problem

T = TypeVar("T")


class Endpoint:
    """One server. ``running``: answers it is giving now."""

    def __init__(self, url: str, key: str, owner: str) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self.owner = owner
        self.running = 0
        self.models: tuple[Model, ...] = ()
        self.error: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Its key, where it wants one."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def decoded(data: bytes, kind: type[T], endpoint: Endpoint) -> T:
    """What a server answered. Raises UpstreamError where it is not of OpenAI's form."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError:
        message = f"The upstream {endpoint.url} answered with something that is not OpenAI's format."
        raise UpstreamError(message) from None


async def problem(endpoint: Endpoint, response: aiohttp.ClientResponse) -> PenstockError:
    """An upstream's error as one of ours; its own words are kept where they are the client's to read."""
    text = (await response.text(errors="replace"))[:4000]
    try:
        said = msgspec.json.decode(text, type=Problem)
    except msgspec.MsgspecError:
        said = Problem()
    words, code = said.words or f"HTTP {response.status}", said.code
    status = response.status
    if status in {401, 403}:
        return UpstreamAuth(f"The upstream {endpoint.url} refused our API key. Check PENSTOCK_OPENAI_API_KEYS.")
    if status == 429:  # noqa: PLR2004 - too many requests
        wait = response.headers.get("Retry-After", "")
        return UpstreamLimited(
            f"The upstream {endpoint.url} is being asked too often: {words}", retry_after=int(wait) if wait.isdigit() else 1
        )
    if status == 404:  # noqa: PLR2004 - not found
        return ModelNotFound(f"The upstream {endpoint.url} answered: {words}", param="model")
    if status in {408, 504}:
        return UpstreamTimeout(f"The upstream {endpoint.url} did not answer in time: {words}")
    if 400 <= status < 500:  # noqa: PLR2004 - the client's fault, in the upstream's words
        return ContextTooLong(words, param=said.param) if code == "context_length_exceeded" else BadRequest(words, param=said.param)
    return UpstreamError(f"The upstream {endpoint.url} failed: {words}")
