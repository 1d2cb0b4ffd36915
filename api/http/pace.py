"""Bodies must come, and not too slowly: who drips holds a connection, and with an upload a file, for ever."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import StreamReader, web

PATIENCE_S = 30.0
MIN_BYTES_PER_S = 1_024


@asynccontextmanager
async def keep_pace(body: StreamReader) -> AsyncGenerator[None, None]:
    """While the block reads a body. Raises HTTPRequestTimeout for less than MIN_BYTES_PER_S over PATIENCE_S."""
    loop, patience_s = asyncio.get_running_loop(), PATIENCE_S
    try:
        async with asyncio.timeout(None) as scope:

            def check(before: int) -> None:
                now = body.total_bytes
                if now - before < patience_s * MIN_BYTES_PER_S and not body.is_eof():
                    scope.reschedule(loop.time())
                timers[0] = loop.call_later(patience_s, check, now)

            timers = [loop.call_later(patience_s, check, 0)]
            try:
                yield
            finally:
                timers[0].cancel()
    except TimeoutError:
        if not scope.expired():
            raise
        raise web.HTTPRequestTimeout from None
