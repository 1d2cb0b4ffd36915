"""A sandbox of each kind of isolation that this machine gives, and a broker by itself."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.errors import Unavailable
from pipelines.sandbox.outcome import Isolation
from pipelines.sandbox.sandbox import Sandbox
from tests.pipelines.sandbox.door import Door, opened
from tests.web_pages import Names, Site, html


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=list(Isolation))
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """One for all tests of a module: what one of them broke, the others would see."""
    try:
        async with Sandbox.open(isolations=[request.param]) as sandbox:
            yield sandbox
    except Unavailable as error:
        pytest.skip(error.detail)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().serving() as serving:
        serving.pages["/"] = html("hello")
        yield serving


@pytest.fixture
def names() -> Names:
    return Names(page_test=["127.0.0.1"], inside_test=["10.1.2.3"], metadata_test=["169.254.169.254"], local_test=["127.0.0.1", "::1"])


@pytest.fixture
async def door(site: Site, names: Names) -> AsyncIterator[Door]:
    allowed = (f"page.test:{site.port}", "169.254.169.254")
    async with opened(names, fetch_allow=allowed) as made:
        yield made
