"""The whole web process on a free port, two users, and the transports that every GraphQL test can run over."""

from collections.abc import AsyncGenerator

import pytest
from aiohttp import web

from api.app import create_app
from api.keys import SERVICES
from api.server import Runner
from core.models.catalog import Model
from core.models.pools import Pool
from core.models.users import Session, SignUp
from core.services import Services
from core.settings import Settings
from tests.schema.transports import TRANSPORTS, Transport

MODEL = Model(id="echo", name="Echo", owned_by="penstock", created=1_700_000_000, pool=Pool.GPU, context_length=2048)


@pytest.fixture
def app(settings: Settings) -> web.Application:
    """The application, not yet started."""
    return create_app(settings)


@pytest.fixture
async def url(app: web.Application) -> AsyncGenerator[str, None]:
    """Where it listens. aiohttp's own TestServer cancels the handlers of clients that leave, which a server does not."""
    runner = Runner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await app[SERVICES].models.publish("tests", (MODEL,))
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def services(app: web.Application, url: str) -> Services:
    """The server's own, with one model published and no worker."""
    assert url
    return app[SERVICES]


@pytest.fixture
async def ada(services: Services) -> Session:
    """The first user, so an administrator."""
    return await services.users.sign_up(SignUp(name="Ada", email="ada@example.com", password="correct horse"))


@pytest.fixture
async def bob(services: Services, ada: Session) -> Session:
    """A plain user."""
    assert ada
    return await services.users.sign_up(SignUp(name="Bob", email="bob@example.com", password="battery staple"))


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, url: str) -> Transport:
    """Every transport in turn."""
    made: Transport = request.param(url)
    return made


@pytest.fixture(params=[kind for kind in TRANSPORTS if kind.streams])
def stream(request: pytest.FixtureRequest, url: str) -> Transport:
    """Every transport that subscriptions run over, in turn."""
    made: Transport = request.param(url)
    return made
