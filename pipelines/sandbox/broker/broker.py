"""The broker: who asks, for which host, at which address; then the exchange."""

import asyncio
import base64
import binascii
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import h11
from aiohttp.abc import AbstractResolver
from yarl import URL

from core.errors import BadRequest, Forbidden, PenstockError, UpstreamBroken, UpstreamRefused, UpstreamTimeout
from core.logging import get_logger
from core.settings import Settings
from pipelines.fetching.guard import Guard, plain_host
from pipelines.fetching.resolver import LookUps
from pipelines.sandbox.broker.exchange import forward, tunnel
from pipelines.sandbox.broker.grants import Grant
from pipelines.sandbox.broker.peer import Peer
from pipelines.sandbox.outcome import Limits

HEAD_S = 10.0
CONNECT_S = 10.0
MOST_CONNECTIONS = 256  # of all calls together, also of those that have not said yet whose they are
USER = "call"

_NO_TOKEN = (407, "This proxy serves calls of functions only, each with a token of its own, and such a one was not given.")

log = get_logger()


class Broker:
    """One for all calls of a sandbox. ``resolver``: other than the system's, for tests."""

    def __init__(self, settings: Settings, resolver: AbstractResolver | None = None) -> None:
        self._guard = Guard(settings)
        self._resolver = resolver or LookUps()
        self._grants: dict[str, Grant] = {}
        self._connections = 0

    async def serve(self, door: socket.socket) -> asyncio.Server:
        """Accept by a socket that listens. It is closed with the server."""
        return await asyncio.start_server(self._accept, sock=door)

    @contextmanager
    def grant(self, hosts: Sequence[str], limits: Limits, door: socket.socket) -> Iterator[str]:
        """The address of the proxy for one call, while it runs. Raises ValueError for what is no host."""
        grant = Grant(hosts, limits)
        self._grants[grant.token] = grant
        host, port = door.getsockname()
        try:
            yield f"http://{USER}:{grant.token}@{host}:{port}"
        finally:
            del self._grants[grant.token]
            grant.close()

    async def close(self) -> None:
        """Look up no more names."""
        await self._resolver.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Peer(h11.SERVER, (reader, writer), BadRequest("This is no request of HTTP to a proxy."))
        self._connections += 1
        try:
            if self._connections <= MOST_CONNECTIONS:
                await self._answer(client)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # it has gone, says nothing, or its call has ended
        finally:
            self._connections -= 1
            client.abort()

    async def _answer(self, client: Peer) -> None:
        try:
            async with asyncio.timeout(HEAD_S):
                request = await client.next()
            grant = self._grants.get(_token(request))
            if grant is None:
                await _refuse(client, *_NO_TOKEN)
                return
            with grant.connection():
                await self._pass(client, request, grant)
        except PenstockError as error:
            await _refuse(client, error.status, error.detail)
        else:
            await client.finish()

    async def _pass(self, client: Peer, request: h11.Request, grant: Grant) -> None:
        url = _target(request)
        host, port = plain_host(url), url.port or 0
        try:
            grant.check(host, port)
            streams = await self._connect(url, host, port)
        except PenstockError as error:
            log.info("outward call refused", host=host, port=port, why=error.code)
            raise
        broken = UpstreamBroken(f"{host} gave an answer that cannot be read, or broke off. Try again later.")
        upstream = Peer(h11.CLIENT, streams, broken, received=grant.receive, sent=grant.send)
        try:
            if request.method == b"CONNECT":
                await tunnel(client, upstream)
            else:
                authority = host if url.is_default_port() else f"{host}:{port}"
                await forward(client, request, upstream, authority, url.raw_path_qs)
        finally:
            upstream.abort()

    async def _connect(self, url: URL, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To an address of a host that has been looked at; its name is not looked up again."""
        try:
            self._guard.check(url)
            async with asyncio.timeout(CONNECT_S):
                found = await self._resolver.resolve(host, port, socket.AF_UNSPEC)
                addresses = self._guard.choose(host, port, [one["host"] for one in found], ports=frozenset({port}))
                for address in sorted(addresses, key=lambda address: ":" in address):  # IPv4 first: it is there where IPv6 is not
                    with suppress(OSError):
                        return await asyncio.open_connection(address, port)
        except BadRequest as error:
            raise Forbidden(error.detail) from None
        except TimeoutError:
            message = f"{host} took no connection within {CONNECT_S:g} seconds. Try again later."
            raise UpstreamTimeout(message) from None
        except OSError:
            message = f"{host} cannot be found. Look at how the name is written."
            raise UpstreamRefused(message) from None
        message = f"{host} cannot be reached on port {port}. Try again later."
        raise UpstreamRefused(message)


def _token(request: h11.Request) -> str:
    """Of ``Proxy-Authorization``; empty where there is none."""
    for name, value in request.headers:
        if name == b"proxy-authorization":
            scheme, _, given = value.partition(b" ")
            with suppress(binascii.Error, UnicodeDecodeError):
                if scheme.lower() == b"basic":
                    return base64.b64decode(given.strip(), validate=True).decode("ascii").removeprefix(f"{USER}:")
    return ""


def _target(request: h11.Request) -> URL:
    """Where it goes. Raises BadRequest."""
    text = request.target.decode("ascii")
    is_tunnel = request.method == b"CONNECT"
    try:
        url = URL(f"https://{text}" if is_tunnel else text, encoded=True)
        port = url.explicit_port
    except ValueError:
        url, port = URL(), None
    if is_tunnel and port and url.raw_path in {"", "/"} and not url.raw_query_string:
        return url
    if not is_tunnel and url.scheme == "http" and url.raw_host:
        return url
    message = "This is a proxy for the web. Ask it by CONNECT host:port for https, and by a whole address for http."
    raise BadRequest(message)


async def _refuse(client: Peer, status: int, sentence: str) -> None:
    """An answer of the broker's own. Clients show the reason of a refused tunnel, and not its body."""
    if client.http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
        return  # it has begun: to break off is what is left
    body = f"{sentence}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), ("Connection", "close")]
    if status == _NO_TOKEN[0]:
        headers.append(("Proxy-Authenticate", 'Basic realm="calls of functions"'))
    await client.send(h11.Response(status_code=status, headers=headers, reason=sentence))
    await client.send(h11.Data(data=body))
    await client.send(h11.EndOfMessage())
    await client.finish()
