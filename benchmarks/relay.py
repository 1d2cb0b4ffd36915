"""What relaying costs, against the same upstream asked directly: ``python -m benchmarks.relay``."""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp

from benchmarks import load
from benchmarks.rows import Row, show
from tests.polling import until
from tests.ports import free_port
from tests.stack import stack_in

ROUNDS = 3
SECONDS = 3.0
FIELDS = (("whole", "relay, non-streamed, 16 clients", 0.2), ("stream", "relay, 64-token streams, 16 clients", 0.25))


async def measure() -> AsyncGenerator[Row, None]:
    """Interleaved rounds; the median of the rounds' ratios."""
    port = free_port()
    direct = f"http://127.0.0.1:{port}/v1"
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder), openai_base_urls=direct, rate_limit_per_minute=1_000_000) as stack:
            await stack.start_redis()
            await stack.start(sys.executable, "-m", "tests.upstream", str(port))
            await stack.start_api()
            await stack.start_worker("relay")
            token = await _token(stack.url)
            relayed = f"{stack.url}/api/openai/v1/chat/completions"
            for kind, what, bound in FIELDS:
                pairs = []
                for _ in range(ROUNDS):
                    asked = await load.run(kind, f"{direct}/chat/completions", model="words", seconds=SECONDS)
                    through = await load.run(kind, relayed, token=token, model="words", seconds=SECONDS)
                    pairs.append((through["per_second"], asked["per_second"]))
                ratio = statistics.median(through / asked for through, asked in pairs)
                ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
                note = f"{ours:.0f} against {theirs:.0f} a second"
                yield Row(what=what, measured=ratio, at_least=bound, note=note)
            yield await _first_token(direct, relayed, token)


async def _first_token(direct: str, relayed: str, token: str) -> Row:
    added = []
    for _ in range(ROUNDS):
        asked = await load.run("stream", f"{direct}/chat/completions", model="words", clients=1, seconds=SECONDS)
        through = await load.run("stream", relayed, token=token, model="words", clients=1, seconds=SECONDS)
        added.append(through["median_ms"] - asked["median_ms"])
    return Row(what="time to first token added by us, one client, relay", measured=statistics.median(added), at_most=15, unit="ms")


async def _token(url: str) -> str:
    async with aiohttp.ClientSession() as session:
        body = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
        async with session.post(f"{url}/api/auths/signup", json=body) as response:
            token: str = (await response.json())["token"]

        async def listed() -> bool:
            async with session.get(f"{url}/api/models", headers={"Authorization": f"Bearer {token}"}) as response:
                return any(model["id"] == "words" for model in (await response.json())["models"])

        await until(listed, "the upstream's models are listed")
        return token


if __name__ == "__main__":
    asyncio.run(show(measure()))
