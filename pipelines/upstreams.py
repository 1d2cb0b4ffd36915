"""Models behind OpenAI-compatible servers (Ollama through its own OpenAI route).

Several URLs for one model share the load, least busy first, and stand in for one another before the first token. Once
an upstream has begun to answer it cannot be continued: a break is a clear error, and what arrived stays.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import aiohttp
import msgspec

from core.errors import (
    BadRequest,
    ContextTooLong,
    ModelNotFound,
    PenstockError,
    UpstreamAuth,
    UpstreamBroken,
    UpstreamError,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from core.models.catalog import Model
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Continued, Delta
from core.models.pools import Pool
from core.settings import Settings
from pipelines.chat import Prompt
from pipelines.upstream_wire import Answer, Chunk, Listing, Problem, delta_of, usage_of

CONNECT_TIMEOUT_S = 5
LIST_TIMEOUT_S = 10
MAX_CONNECTIONS = 512
SHOWN_CHARACTERS = 300

T = TypeVar("T")
_CLOSED = "open() comes first"
_Part = Delta | ChoiceFinished | Usage


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


class Upstreams:
    """All configured upstreams, as one generator."""

    def __init__(self, settings: Settings) -> None:
        keys = (*settings.openai_api_keys, *[""] * len(settings.openai_base_urls))
        self._endpoints = [Endpoint(url, key, "openai") for url, key in zip(settings.openai_base_urls, keys, strict=False)]
        self._endpoints += [Endpoint(f"{url.rstrip('/')}/v1", "", "ollama") for url in settings.ollama_base_urls]
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=settings.upstream_timeout_s
        )
        self._session: aiohttp.ClientSession | None = None

    def continued(self, model_id: str) -> Continued | None:
        """An upstream's answer cannot be continued."""
        del model_id
        return None

    async def open(self) -> None:
        """Make the client session (nothing is sent)."""
        connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, auto_decompress=True)

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError(_CLOSED)
        return self._session

    async def refresh(self) -> list[Model]:
        """Ask every server for its models, all at once. One that cannot be reached costs its own models only."""
        await asyncio.gather(*map(self._list, self._endpoints))
        found: dict[str, Model] = {}
        for endpoint in self._endpoints:
            for model in endpoint.models:
                found.setdefault(model.id, model)
        return list(found.values())

    @property
    def errors(self) -> dict[str, str]:
        """Why servers' models are missing, by URL."""
        return {endpoint.url: endpoint.error for endpoint in self._endpoints if endpoint.error}

    async def generate(self, prompt: Prompt) -> AsyncGenerator[_Part, None]:
        """Ask the least busy server; where it fails before its first token, the next one. Raises UpstreamError and its kin.

        A connection that closes before any answer may only have been idle too long: after the last server the first is tried once more.
        """
        endpoints = await self._serving(prompt.request.model)
        body = _body(prompt)
        for left, endpoint in zip(range(len(endpoints), -1, -1), (*endpoints, endpoints[0]), strict=True):
            begun = False
            endpoint.running += 1
            try:
                async with aclosing(self._ask(endpoint, body, stream=bool(prompt.request.stream))) as parts:
                    async for part in parts:
                        begun = True
                        yield part
            except (UpstreamError, ModelNotFound) as error:
                if begun or left == 0 or (left == 1 and not isinstance(error, UpstreamBroken)):
                    raise
                endpoint.error = error.detail
            else:
                return
            finally:
                endpoint.running -= 1

    async def _serving(self, model_id: str) -> list[Endpoint]:
        def serving() -> list[Endpoint]:
            return [endpoint for endpoint in self._endpoints if any(model.id == model_id for model in endpoint.models)]

        found = serving()
        if not found:
            await self.refresh()
            found = serving()
        if not found:
            message = f"No configured upstream serves the model {model_id!r} now."
            raise ModelNotFound(message, param="model")
        return sorted(found, key=lambda endpoint: endpoint.running)

    async def _ask(self, endpoint: Endpoint, body: bytes, *, stream: bool) -> AsyncGenerator[_Part, None]:
        headers = {**endpoint.headers, "Content-Type": "application/json"}
        begun = False
        try:
            async with self._client.post(f"{endpoint.url}/chat/completions", data=body, headers=headers) as response:
                if response.status != 200:  # noqa: PLR2004 - the one good status
                    raise await _problem(endpoint, response)
                if stream and "event-stream" in response.headers.get("Content-Type", ""):
                    async with aclosing(_streamed(response, endpoint)) as parts:
                        async for part in parts:
                            begun = True
                            yield part
                else:
                    for part in _whole(await response.read(), endpoint):
                        yield part
        except TimeoutError:
            message = f"The upstream {endpoint.url} did not answer in time."
            raise UpstreamTimeout(message) from None
        except aiohttp.ClientConnectorError:
            message = f"The upstream {endpoint.url} cannot be reached."
            raise UpstreamRefused(message) from None
        except (aiohttp.ClientError, ConnectionError):
            message = f"The upstream {endpoint.url} broke off{' in the middle of its answer' if begun else ' before it answered'}."
            raise UpstreamBroken(message) from None

    async def _list(self, endpoint: Endpoint) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=LIST_TIMEOUT_S)
            async with self._client.get(f"{endpoint.url}/models", headers=endpoint.headers, timeout=timeout) as response:
                if response.status != 200:  # noqa: PLR2004 - the one good status
                    raise await _problem(endpoint, response)
                listed = msgspec.json.decode(await response.read(), type=Listing)
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError, PenstockError) as error:
            endpoint.error = error.detail if isinstance(error, PenstockError) else f"The upstream {endpoint.url} cannot be reached."
            endpoint.models = () if isinstance(error, UpstreamAuth) else endpoint.models
            return
        endpoint.error = None
        endpoint.models = tuple(
            Model(id=row.id, name=row.name or row.id, owned_by=endpoint.owner, created=int(row.created or time.time()), pool=Pool.RELAY)
            for row in listed.data
        )


def _body(prompt: Prompt) -> bytes:
    """The client's request as it came, but for what we must know or that must not travel."""
    body: dict[str, Any] = msgspec.json.decode(prompt.spec.body)
    body["messages"] = prompt.messages
    for name in ("user", "chat_id", "session_id"):
        body.pop(name, None)
    if body.get("stream"):
        body["stream_options"] = {"include_usage": True}
    else:
        body.pop("stream_options", None)
    return msgspec.json.encode(body)


async def _streamed(response: aiohttp.ClientResponse, endpoint: Endpoint) -> AsyncGenerator[_Part, None]:
    """Server-sent events by whatever pieces the network brings; the end is ``[DONE]``, and a stream without one broke off."""
    rest, tokens, usage, finished = b"", 0, None, False
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            data = line[5:].strip() if line.startswith(b"data:") else b""
            if not data:
                continue
            if data == b"[DONE]":
                yield usage or Usage(prompt_tokens=0, completion_tokens=tokens, total_tokens=tokens)
                return
            chunk = _decode(data, Chunk, endpoint)
            if chunk.error is not None:
                message = f"The upstream {endpoint.url} failed: {str(chunk.error)[:SHOWN_CHARACTERS]}"
                raise UpstreamError(message)
            usage = usage_of(chunk.usage) or usage
            for choice in chunk.choices:
                delta = delta_of(choice)
                if delta is not None:
                    tokens += 1
                    yield delta
                if choice.finish_reason:
                    finished = True
                    yield ChoiceFinished(choice=choice.index, finish_reason=choice.finish_reason)
    if not finished:
        message = f"The upstream {endpoint.url} broke off in the middle of its answer."
        raise UpstreamBroken(message)
    yield usage or Usage(prompt_tokens=0, completion_tokens=tokens, total_tokens=tokens)


def _whole(body: bytes, endpoint: Endpoint) -> Sequence[_Part]:
    answer = _decode(body, Answer, endpoint)
    parts: list[_Part] = []
    for choice in answer.choices:
        parts.append(delta_of(choice) or Delta(choice=choice.index))
        parts.append(ChoiceFinished(choice=choice.index, finish_reason=choice.finish_reason or "stop"))
    return [*parts, usage_of(answer.usage) or Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)]


def _decode(data: bytes, kind: type[T], endpoint: Endpoint) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError:
        message = f"The upstream {endpoint.url} answered with something that is not OpenAI's format."
        raise UpstreamError(message) from None


async def _problem(endpoint: Endpoint, response: aiohttp.ClientResponse) -> PenstockError:
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
        return ContextTooLong(words) if code == "context_length_exceeded" else BadRequest(words)
    return UpstreamError(f"The upstream {endpoint.url} failed: {words}")
