"""Functions that reach the hosts that an administrator gave them: over REST, by a real worker's part, sandbox and broker."""

from collections.abc import AsyncIterator

import pytest

from core.errors import Unavailable
from core.jobs import CALL_FUNCTION
from core.services import Services
from core.settings import Settings
from pipelines.sandbox.broker.broker import Broker
from pipelines.sandbox.outcome import Isolation
from tests.api.conftest import Client
from tests.web_pages import Names, Site, html
from tests.worker_parts import working
from workers.actors.functions import Functions
from workers.assembling import limits_of
from workers.opened_sandbox import OpenedSandbox

GET = "import requests\n\ndef fetch(url: str) -> str:\n    return requests.get(url).text"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().serving() as serving:
        serving.pages["/"] = html("sunny")
        yield serving


@pytest.fixture
async def calling(services: Services, site: Site) -> AsyncIterator[None]:
    """A worker of the CPU pool, in this process."""
    broker = Broker(Settings(fetch_allow=(f"weather.test:{site.port}",)), Names(weather_test=["127.0.0.1"]))
    sandbox = OpenedSandbox(4, broker)
    try:
        isolation = (await sandbox.get()).isolation
    except Unavailable as error:
        pytest.skip(error.detail)
    if isolation != Isolation.BUBBLEWRAP:
        await sandbox.close()
        pytest.skip("by Landlock alone, such calls are refused")
    actor = Functions(results=services.results, preparation=services.preparation, sandbox=sandbox, limits=limits_of(services.settings))
    async with working(services, "here", {CALL_FUNCTION: actor}):
        yield
    await sandbox.close()


@pytest.mark.usefixtures("calling")
async def test_a_function_reaches_what_it_was_given_from_the_next_call_on(ada: Client, bob: Client, site: Site) -> None:
    await ada.post("/api/configs/functions", {"user_ids": [bob.user["id"]]})
    function_id = (await bob.post("/api/functions/create", {"name": "fetch", "content": GET})).body["id"]
    asked = {"args": {"url": f"http://weather.test:{site.port}/"}}
    alone = await bob.post(f"/api/functions/{function_id}/test", asked)
    assert alone.body["error"]["type"] == "ConnectionError"
    given = await ada.post("/api/functions/update", {"id": function_id, "hosts": [f"weather.test:{site.port}"]})
    assert given.status == 200, given
    assert (await bob.post(f"/api/functions/{function_id}/test", asked)).body["result"] == "sunny"
    other = await bob.post(f"/api/functions/{function_id}/test", {"args": {"url": "http://other.test/"}})
    assert other.body["result"].startswith("This function may not reach other.test on port 80.")
    await ada.post("/api/functions/update", {"id": function_id, "hosts": []})
    assert (await bob.post(f"/api/functions/{function_id}/test", asked)).body["error"]["type"] == "ConnectionError"
    assert site.paths == ["/"]
