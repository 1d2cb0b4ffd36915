"""A client of one Weaviate: made at the first call, held to seconds, its errors ours.

Left to itself the client tries for 63 s before it says that a server is away, whatever its timeouts. So while a call takes long, the server
is asked whether it is there, on its other port: where it is not, the call is given up. What ends a connection under way comes from it as
httpx's own error (weaviate-client 4.24, weaviate/connect/v4.py).
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import grpc.aio
import httpx
import weaviate
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError

from core.errors import PenstockError, SettingsError, Unavailable
from core.settings import Settings

T = TypeVar("T")

GRPC_PORT = 50051
PATIENCE_S = 1.0
ANSWER_S = 2.0
CONNECT_S = 5.0
WRITE_S = 60.0

_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
_REFUSED = frozenset({401, 403})


class WeaviateConnection:
    """Made from settings without a word to the server."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for a URL that cannot be used."""
        self._http = _address("PENSTOCK_WEAVIATE_URL", settings.weaviate_url)
        host, _, secure = self._http
        self._grpc = (host, GRPC_PORT, secure)
        if settings.weaviate_grpc_url:
            self._grpc = _address("PENSTOCK_WEAVIATE_GRPC_URL", settings.weaviate_grpc_url)
        if self._grpc[:2] == self._http[:2]:
            message = (
                "PENSTOCK_WEAVIATE_GRPC_URL names the port of PENSTOCK_WEAVIATE_URL. Weaviate takes gRPC on another, 50051 if not told."
            )
            raise SettingsError(message)
        self._key = settings.weaviate_api_key
        self._client: weaviate.WeaviateAsyncClient | None = None
        self._lock = asyncio.Lock()

    async def ask(self, work: Callable[[weaviate.WeaviateAsyncClient], Awaitable[T]], limit_s: float = WRITE_S) -> T:
        """What ``work`` gives. Raises Unavailable where the server is away, fails, or takes longer than ``limit_s``."""
        client = await self._connected()
        running = asyncio.ensure_future(work(client))
        try:
            async with asyncio.timeout(limit_s):
                while not (await asyncio.wait({running}, timeout=PATIENCE_S))[0]:
                    await _ask_whether_there(client)
                return running.result()
        except TimeoutError:
            message = (
                f"Weaviate has not answered in {limit_s:.0f} s. Check its load, and that gRPC goes to {self._grpc[0]}:{self._grpc[1]}: "
                "PENSTOCK_WEAVIATE_GRPC_URL names another place."
            )
            raise Unavailable(message) from None
        except (WeaviateBaseError, httpx.TransportError) as error:
            await _ask_whether_there(client)
            raise _explanation(error) from None
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def ping(self) -> None:
        """Ask for an answer."""
        await _ask_whether_there(await self._connected())

    async def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client:
            await client.close()

    async def _connected(self) -> weaviate.WeaviateAsyncClient:
        async with self._lock:
            if self._client is None:
                _keep_grpc()
                client = await asyncio.to_thread(self._new_client)
                try:
                    with _away():
                        async with asyncio.timeout(CONNECT_S):
                            await client.connect()
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client

    def _new_client(self) -> weaviate.WeaviateAsyncClient:
        (host, port, secure), (grpc_host, grpc_port, grpc_secure) = self._http, self._grpc
        return weaviate.use_async_with_custom(
            http_host=host,
            http_port=port,
            http_secure=secure,
            grpc_host=grpc_host,
            grpc_port=grpc_port,
            grpc_secure=grpc_secure,
            auth_credentials=Auth.api_key(self._key) if self._key else None,
            additional_config=AdditionalConfig(timeout=Timeout(init=ANSWER_S, query=WRITE_S, insert=WRITE_S)),
            skip_init_checks=True,  # among them is a look at PyPI for a newer client
        )


@functools.cache
def _keep_grpc() -> None:
    """Keep gRPC's thread to the end of the process: with the last channel it would be waited for, on the event loop."""
    grpc.aio.init_grpc_aio()


async def _ask_whether_there(client: weaviate.WeaviateAsyncClient) -> None:
    """By its meta data: ``is_ready`` prints what goes wrong. Raises Unavailable."""
    with _away():
        async with asyncio.timeout(ANSWER_S):
            await client.get_meta()


@contextmanager
def _away() -> Generator[None, None, None]:
    """Whatever goes wrong means that the server is not there, if it is not an answer."""
    try:
        yield
    except UnexpectedStatusCodeError as error:
        raise _explanation(error) from None
    except (WeaviateBaseError, httpx.TransportError, TimeoutError, OSError):
        message = "Weaviate cannot be reached. Check PENSTOCK_WEAVIATE_URL, and that the server is running."
        raise Unavailable(message) from None


def is_missing(error: Exception) -> bool:
    """Does it say that a space or a collection is not there? Nothing but its text tells."""
    text = str(error)
    return isinstance(error, WeaviateBaseError) and ("tenant not found" in text or "could not find class" in text)


def _explanation(error: Exception) -> PenstockError:
    if isinstance(error, UnexpectedStatusCodeError) and error.status_code in _REFUSED:
        return Unavailable("Weaviate refuses our key. Check PENSTOCK_WEAVIATE_API_KEY.")
    return Unavailable(f"Weaviate failed: {str(getattr(error, 'message', error))[:400]}")


def _address(name: str, url: str) -> tuple[str, int, bool]:
    """Host, port, and whether it is by TLS."""
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.scheme in _PORTS:
            return parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "https"
    except ValueError:
        pass
    message = f"{name}: {url.rpartition('@')[2]!r} is not a URL. Write http://host:port or https://…"
    raise SettingsError(message)
