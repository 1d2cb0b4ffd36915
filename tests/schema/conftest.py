"""The whole web process on a free port, two users, and the transports that every GraphQL test can run over."""

import pytest

from core.models.users import Session, SignUp
from core.services import Services
from tests.schema.transports import TRANSPORTS, Transport
from tests.serving import app, quick_passwords, services, url

__all__ = ["app", "quick_passwords", "services", "url"]


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
