"""Asks a web process how it is."""

import asyncio
from contextlib import suppress

OK = b"200"
ANSWER_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
MAX_BYTES = 65_536


async def wait_until_ready(host: str, port: int, path: str) -> None:
    """Return when ``GET path`` answers 200: ``/ready`` for everything, ``/health`` for the process alone."""
    pause = FIRST_PAUSE_S
    while True:
        with suppress(OSError, TimeoutError, IndexError):
            async with asyncio.timeout(ANSWER_S):  # wait_for may swallow a cancellation
                answer = await _get(host, port, path)
            if answer.split()[1] == OK:
                return
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_S)


async def _get(host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        return await reader.read(MAX_BYTES)
    finally:
        writer.close()
