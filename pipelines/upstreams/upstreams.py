"""Models behind OpenAI-compatible servers (Ollama through its own OpenAI route).

Several URLs for one model share the load, least busy first, and stand in for one another before the first token. Once
an upstream has begun to answer it cannot be continued: a break is a clear error, and what arrived stays.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import aiohttp

from core.errors import ModelNotFound, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from core.json.offload import offload
from core.models.catalog import Model
from core.models.embeddings import Vectors
from core.models.numerics import Numerics
from core.settings import Settings
from pipelines.chat import Prompt, Window
from pipelines.embedding import EmbeddingTask
from pipelines.token_counts import counter
from pipelines.upstreams import completions, embeddings
from pipelines.upstreams.completions import Part
from pipelines.upstreams.endpoint import Endpoint, OllamaEndpoint, read_problem

CONNECT_TIMEOUT_S = 5
MAX_CONNECTIONS = 512

T = TypeVar("T")
_CLOSED = "open() comes first"


class Upstreams:
    """All configured upstreams, as one generator."""

    def __init__(self, settings: Settings) -> None:
        keys = (*settings.openai_api_keys, *[""] * len(settings.openai_base_urls))
        self._endpoints = [Endpoint(url, key) for url, key in zip(settings.openai_base_urls, keys, strict=False)]
        self._endpoints += [OllamaEndpoint(url) for url in settings.ollama_base_urls]
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=settings.upstream_timeout_s
        )
        self._session: aiohttp.ClientSession | None = None

    async def prepare(self, model_id: str) -> Numerics | None:
        """An upstream's answer cannot be continued."""
        del model_id
        return None

    async def window(self, model_id: str) -> Window:
        """As far as a server tells; tokens are estimated."""
        served = (model for endpoint in self._endpoints for model in endpoint.models if model.id == model_id)
        return Window(tokens=next((model.context_length for model in served), None), count=counter(None)[0])

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
        await asyncio.gather(*(endpoint.look(self._client) for endpoint in self._endpoints))
        found: dict[str, Model] = {}
        for endpoint in self._endpoints:
            for model in endpoint.models:
                found.setdefault(model.id, model)
        return list(found.values())

    @property
    def errors(self) -> dict[str, str]:
        """Why servers' models are missing, by URL."""
        return {endpoint.url: endpoint.error for endpoint in self._endpoints if endpoint.error}

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Part, None]:
        """An answer. Raises UpstreamError and its kin."""
        body, stream = completions.body_of(prompt)
        async with aclosing(self._asked(prompt.spec.served, lambda endpoint: self._answer(endpoint, body, stream=stream))) as parts:
            async for part in parts:
                yield part

    async def embed(self, task: EmbeddingTask) -> Vectors:
        """Vectors. Raises UpstreamError and its kin."""
        body = embeddings.body_of(task)
        async with aclosing(self._asked(task.served, lambda endpoint: self._vectors(endpoint, body))) as found:
            return await anext(found)

    async def _asked(self, model_id: str, ask: Callable[[Endpoint], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        """Ask the least busy server; where it fails before it has given anything, the next one.

        A connection that closes before any answer may only have been idle too long: after the last server the first is tried once more.
        """
        endpoints = await self._serving(model_id)
        for left, endpoint in zip(range(len(endpoints), -1, -1), (*endpoints, endpoints[0]), strict=True):
            begun = False
            endpoint.running += 1
            try:
                async with aclosing(ask(endpoint)) as parts:
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

    async def _answer(self, endpoint: Endpoint, body: bytes, *, stream: bool) -> AsyncGenerator[Part, None]:
        async with self._post(endpoint, "chat/completions", body) as response:
            if stream and "event-stream" in response.headers.get("Content-Type", ""):
                async with aclosing(completions.read_stream(response, endpoint)) as parts:
                    async for part in parts:
                        yield part
            else:
                for part in completions.read_whole(await response.read(), endpoint):
                    yield part

    async def _vectors(self, endpoint: Endpoint, body: bytes) -> AsyncGenerator[Vectors, None]:
        async with self._post(endpoint, "embeddings", body) as response:
            answer = await response.read()
        yield await offload(len(answer), embeddings.vectors_of, answer, endpoint)

    @asynccontextmanager
    async def _post(self, endpoint: Endpoint, path: str, body: bytes) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """A server's answer, once it is a good one; what goes wrong while it is read is one of our errors too."""
        headers = {**endpoint.headers, "Content-Type": "application/json"}
        answering = False
        try:
            async with self._client.post(f"{endpoint.url}/{path}", data=body, headers=headers) as response:
                if response.status != 200:  # noqa: PLR2004 - the one good status
                    raise await read_problem(endpoint, response)
                answering = True
                yield response
        except TimeoutError:
            message = f"The upstream {endpoint.url} did not answer in time."
            raise UpstreamTimeout(message) from None
        except aiohttp.ClientConnectorError:
            message = f"The upstream {endpoint.url} cannot be reached."
            raise UpstreamRefused(message) from None
        except (aiohttp.ClientError, ConnectionError):
            message = f"The upstream {endpoint.url} broke off{' in the middle of its answer' if answering else ' before it answered'}."
            raise UpstreamBroken(message) from None
