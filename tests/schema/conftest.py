"""A real server over real services, and the transports that every GraphQL test can run over."""

from collections.abc import AsyncGenerator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from api.keys import SERVICES

from api.graphql import close_sockets, graphiql_assets, graphql
from core.models.catalog import Model
from core.models.pools import Pool
from core.models.users import Session, SignUp
from core.services import Services, open_services
from core.settings import Settings
from tests.schema.transports import TRANSPORTS, Transport

MODEL = Model(id="echo", name="Echo", owned_by="penstock", created=1_700_000_000, pool=Pool.GPU, context_length=2048)


@pytest.fixture
async def services(settings: Settings) -> AsyncGenerator[Services, None]:
    """Real ones, with one model published and no worker."""
    async with open_services(settings) as opened:
        await opened.models.publish("tests", (MODEL,))
        yield opened


@pytest.fixture
async def server(services: Services) -> AsyncGenerator[TestServer, None]:
    """The GraphQL mount alone."""
    app = web.Application()
    app[SERVICES] = services
    app.router.add_routes([web.get("/graphql", graphql), web.post("/graphql", graphql), graphiql_assets])
    app.on_shutdown.append(close_sockets)
    async with TestServer(app) as running:
        yield running


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
async def transport(request: pytest.FixtureRequest, server: TestServer) -> Transport:
    """Every transport in turn."""
    made: Transport = request.param(server)
    return made


@pytest.fixture(params=[kind for kind in TRANSPORTS if kind.streams])
async def stream(request: pytest.FixtureRequest, server: TestServer) -> Transport:
    """Every transport that subscriptions run over, in turn."""
    made: Transport = request.param(server)
    return made
