"""A sandbox of each kind of isolation that this machine gives."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.errors import Unavailable
from pipelines.sandbox.outcome import Isolation
from pipelines.sandbox.sandbox import Sandbox


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=list(Isolation))
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """One for all tests of a module: what one of them broke, the others would see."""
    try:
        async with Sandbox.open(isolations=[request.param]) as sandbox:
            yield sandbox
    except Unavailable as error:
        pytest.skip(error.detail)
