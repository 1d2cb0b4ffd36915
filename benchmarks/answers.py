"""Answers asked for all at once and read to their ends, by a process of its own: ``python -m benchmarks.answers URL TOKEN``.

Standard input: a JSON list of what is posted, streamed chat completions. Prints one JSON line.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Self

import aiohttp
import msgspec
import uvloop

END = b"[DONE]"
UNENDING = {"2": -100}  # the starter model's end of an answer: all answers are as long as they may be


class Told(msgspec.Struct, frozen=True):
    """``tokens`` answered in ``seconds``, from the first question's asking to the last answer's end."""

    tokens: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @classmethod
    async def of(cls, url: str, token: str, bodies: Sequence[bytes]) -> Self:
        """Ask here and now."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
            began = time.perf_counter()
            counts = await asyncio.gather(*(_tokens(session, url, body) for body in bodies))
            return cls(sum(counts), time.perf_counter() - began)


def body(model: str, question: str, tokens: int) -> bytes:
    """A greedy answer of exactly so many tokens."""
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}]}
    asked |= {"temperature": 0, "max_tokens": tokens, "logit_bias": UNENDING}
    return msgspec.json.encode(asked | {"stream": True, "stream_options": {"include_usage": True}})


async def ask(url: str, token: str, bodies: Sequence[bytes]) -> Told:
    """The same in a process of its own."""
    words = (sys.executable, "-m", "benchmarks.answers", url, token)
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate(msgspec.json.encode([msgspec.Raw(body) for body in bodies]))
    assert process.returncode == 0, words
    return msgspec.json.decode(output, type=Told)


async def deltas(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """A stream's chunks that carry text, as they come, and at last the one that carries the usage."""
    last = b""
    async for line in response.content:
        if END in line:
            yield last
            return
        if line.startswith(b"data:"):
            last = line.removeprefix(b"data:")
            if b'"content":' in last.replace(b'"content":""', b"").replace(b'"content":null', b""):
                yield last
    message = f"An answer that has no end: {last!r}"
    raise AssertionError(message)


async def _tokens(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    """How many tokens an answer has, as its server counts them."""
    async with session.post(url, data=body) as response:
        assert response.ok, await response.text()
        last = b""
        async for chunk in deltas(response):
            last = chunk
        return int(msgspec.json.decode(last)["usage"]["completion_tokens"])


if __name__ == "__main__":
    _, url, token = sys.argv
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=list[msgspec.Raw])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(msgspec.json.encode(runner.run(Told.of(url, token, [bytes(one) for one in asked]))))
