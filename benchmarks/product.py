"""The whole product, started as users start it: ``penstock up`` with its own Redis and the starter model."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.account import Account
from benchmarks.checkouts import HERE, Checkout
from benchmarks.processes import Process, family
from tests.polling import until
from tests.stack import Running, stack_in

CHAT_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "all-MiniLM-L6-v2"
GPU_WORKER = "-m workers gpu"


class Product:
    """One that is ready. ``folder`` keeps its data: started again there, it finds what it had prepared."""

    def __init__(self, url: str, up: Running) -> None:
        self.url = url
        self.pid = up.pid

    @property
    def gpu_worker(self) -> Process | None:
        """The worker of the GPU pool that runs now."""
        return next((process for process in family(self.pid) if process.name == GPU_WORKER), None)


@asynccontextmanager
async def product(folder: Path, checkout: Checkout = HERE) -> AsyncIterator[Product]:
    """A product that is gone when the block ends."""
    async with stack_in(folder, redis_url="") as stack, aiohttp.ClientSession() as session:
        up = await stack.start(*checkout.command("-m", "penstock", "up"))

        async def ready() -> bool:
            assert up.process.returncode is None, up.log.read_text()[-2000:]
            try:
                async with session.get(f"{stack.url}/ready") as response:
                    return response.status == 200
            except (aiohttp.ClientError, OSError):
                return False

        await until(ready, "everything is ready", timeout_s=180)
        try:
            yield Product(stack.url, up)
        finally:
            await up.kill(signal.SIGTERM)


@asynccontextmanager
async def administrator(product: Product) -> AsyncIterator[Account]:
    """Its first user, whom no limit holds back."""
    async with aiohttp.ClientSession() as session:
        yield await Account.join(session, product.url, "ada")
