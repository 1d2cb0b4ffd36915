"""A load of one GET repeated, by a client so cheap that it is the server that is measured.

``python -m benchmarks.gets URL CLIENTS SECONDS``, with the headers as JSON on standard input, prints answers a second.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Client(asyncio.Protocol):
    """Sends the next request when the last one's answer is whole."""

    def __init__(self, request: bytes) -> None:
        self.answered = 0
        self.failed = ""
        self._request = request
        self._left = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        if self._left == 0:
            length = _LENGTH.search(data)
            if not data.startswith(b"HTTP/1.1 200") or length is None:
                self.failed = data[:200].decode(errors="replace")
                return
            self._left = data.index(b"\r\n\r\n") + 4 + int(length[1])
        self._left -= len(data)
        if self._left == 0:
            self.answered += 1
            self._transport.write(self._request)


async def load(url: str, headers: dict[str, str], clients: int, seconds: float) -> float:
    """Answers a second."""
    parts = urlsplit(url)
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    loop, request = asyncio.get_running_loop(), "\r\n".join(lines).encode()
    made = [(await loop.create_connection(lambda: Client(request), parts.hostname or "", parts.port or 80))[1] for _ in range(clients)]
    await asyncio.sleep(seconds / 4)
    before, began = sum(client.answered for client in made), time.perf_counter()
    await asyncio.sleep(seconds)
    answered = sum(client.answered for client in made) - before
    assert answered, "nothing was answered"
    assert not any(client.failed for client in made), next(client.failed for client in made if client.failed)
    return answered / (time.perf_counter() - began)


async def run(url: str, headers: dict[str, str], *, clients: int, seconds: float) -> float:
    """The same in a process of its own."""
    words = (sys.executable, "-m", "benchmarks.gets", url, str(clients), str(seconds))
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate(json.dumps(headers).encode())
    assert process.returncode == 0, words
    return float(output)


if __name__ == "__main__":
    _, url, clients, seconds = sys.argv
    print(uvloop.run(load(url, json.load(sys.stdin), int(clients), float(seconds))))  # noqa: T201 - its answer
