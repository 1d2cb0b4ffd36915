"""What goes between a call and a host: one exchange of HTTP, or the bytes of a tunnel."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

import h11

from core.errors import UpstreamTimeout
from pipelines.sandbox.broker.peer import Peer

ANSWER_S = 60.0

_Headers = Iterable[tuple[bytes, bytes]]
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_BY_THE_BROKER = frozenset({b"host", b"expect"})


async def forward(client: Peer, request: h11.Request, upstream: Peer, authority: str, path: str) -> None:
    """One request and its answer. What says how long a message is, is written anew."""
    headers = [(b"Host", authority.encode()), *(pair for pair in _onward(request.headers) if pair[0] not in _BY_THE_BROKER)]
    await upstream.send(h11.Request(method=request.method, target=path.encode(), headers=[*headers, (b"Connection", b"close")]))
    answering = _answer(upstream, client, authority)
    await _until_first(answering, _pass_body(client, upstream))


async def tunnel(client: Peer, upstream: Peer) -> None:
    """Bytes both ways, until both have ended or one has gone."""
    await client.next()  # the end of its question, which has no body
    await client.send(h11.Response(status_code=200, headers=[], reason="Connected"))
    early, _ = client.http.trailing_data
    await upstream.write(early)
    await asyncio.gather(_pour(client, upstream), _pour(upstream, client))


async def _until_first(answer: Coroutine[Any, Any, None], body: Coroutine[Any, Any, None]) -> None:
    """Both; an answer may be whole before the question is, and a question that fails has no answer."""
    tasks = [asyncio.ensure_future(answer), asyncio.ensure_future(body)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            await tasks[1]
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_body(client: Peer, upstream: Peer) -> None:
    while not isinstance(event := await client.next(), h11.EndOfMessage):
        with suppress(OSError):  # it has gone, and may have answered before
            await upstream.send(h11.Data(data=bytes(event.data)))
    with suppress(OSError):
        await upstream.send(h11.EndOfMessage())


async def _answer(upstream: Peer, client: Peer, authority: str) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            while isinstance(event := await upstream.next(), h11.InformationalResponse):
                pass
    except TimeoutError:
        message = f"{authority} did not answer within {ANSWER_S:g} seconds. Try again later."
        raise UpstreamTimeout(message) from None
    headers = [*_onward(event.headers, framed=False), (b"Connection", b"close")]
    await client.send(h11.Response(status_code=event.status_code, headers=headers, reason=event.reason))
    while not isinstance(event := await upstream.next(), h11.EndOfMessage):
        await client.send(h11.Data(data=bytes(event.data)))
    await client.send(h11.EndOfMessage())


def _onward(headers: _Headers, *, framed: bool = True) -> list[tuple[bytes, bytes]]:
    """Those that are for the other end. ``framed``: a message in chunks has to say so; an answer's framing is h11's to find."""
    pairs = list(headers)
    named = {token.strip().lower() for name, value in pairs if name == b"connection" for token in value.split(b",")}
    chunked = any(name == b"transfer-encoding" for name, _ in pairs)
    dropped = (_HOP_BY_HOP | named | {b"content-length"}) if chunked else _HOP_BY_HOP | (named - {b"content-length"})
    kept = [(name, value) for name, value in pairs if name not in dropped]
    return [*kept, (b"Transfer-Encoding", b"chunked")] if chunked and framed else kept


async def _pour(source: Peer, target: Peer) -> None:
    while content := await source.read():
        await target.write(content)
    target.write_end()
