"""The whole web process on a free port: fixtures for whoever names them in a conftest."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiohttp import web
from pwdlib.hashers.argon2 import Argon2Hasher

from api.app import create_app
from api.http.keys import SERVICES
from api.http.server import Runner
from core import security
from core.models.catalog import Model
from core.models.pools import Pool
from core.services import Services
from core.settings import Settings
from tests.serving_models import serve_models

MODEL = Model(id="echo", name="Echo", owned_by="penstock", created=1_700_000_000, pool=Pool.GPU, context_length=2048)


@asynccontextmanager
async def listening(app: web.Application) -> AsyncGenerator[str, None]:
    """Where an application listens. aiohttp's own TestServer cancels the handlers of clients that leave, which a server does not."""
    runner = Runner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of what a sign-up takes is there to slow guessers: what that is worth, the tests of core measure."""
    monkeypatch.setattr(security, "Argon2Hasher", partial(Argon2Hasher, time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def app(settings: Settings, quick_passwords: None) -> web.Application:
    """The application, not yet started."""
    assert quick_passwords is None
    return create_app(settings)


@pytest.fixture
async def url(app: web.Application) -> AsyncIterator[str]:
    """Where it listens, with one model, which nobody answers for but the test."""
    async with listening(app) as address:
        await serve_models(app[SERVICES], MODEL)
        yield address


@pytest.fixture
def services(app: web.Application, url: str) -> Services:
    """The server's own."""
    assert url
    return app[SERVICES]
