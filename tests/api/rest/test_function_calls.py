"""Calls of functions over REST, made by a real worker's part in a real sandbox."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core.errors import Unavailable
from core.jobs import CALL_FUNCTION
from core.models.function_calls import CallFunction
from core.services import Services
from core.settings import Settings
from tests.api.conftest import Client, Reply
from tests.core.services.people import ADMIN
from tests.pipelines.sandbox.processes import zygotes
from tests.polling import until
from tests.worker_parts import working
from workers.actors.functions import Functions
from workers.assembling import limits_of
from workers.opened_sandbox import OpenedSandbox

SECRET = "correct horse battery"
ECHO = "def shout(text: str, times: int = 1) -> str:\n    print('shouting')\n    return text.upper() * times"
WEATHER = '''
from pydantic import BaseModel


class Tools:
    class Valves(BaseModel):
        url: str
        api_key: str = ""

    class UserValves(BaseModel):
        unit: str = "celsius"

    def __init__(self):
        self.citation = True

    async def told(self, city: str, __user__: dict = {}, __id__: str = "", __event_emitter__=None, __request__="x") -> list:
        """What a call is given."""
        await __event_emitter__({"type": "status", "data": {"description": city}})
        user = {**__user__, "valves": __user__["valves"].unit}
        return [city, self.valves.url, len(self.valves.api_key), user, __id__, __request__]

    def sleep(self) -> None:
        """Take too long."""
        import time

        time.sleep(60)
'''
PLAIN = """
from pydantic import BaseModel


class Valves(BaseModel):
    unit: str = "celsius"


def told() -> str:
    return valves.unit
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, function_timeout_s=4, rate_limit_per_minute=0)


@pytest.fixture
async def sandbox() -> AsyncIterator[OpenedSandbox]:
    opened = OpenedSandbox(4)
    opened.open()
    try:
        await opened.get()
    except Unavailable as error:
        pytest.skip(error.detail)
    yield opened
    await opened.close()


@pytest.fixture
async def calling(services: Services, sandbox: OpenedSandbox) -> AsyncIterator[None]:
    """A worker of the CPU pool, in this process."""
    actor = Functions(results=services.results, preparation=services.preparation, sandbox=sandbox, limits=limits_of(services.settings))
    async with working(services, "here", {CALL_FUNCTION: actor}):
        yield


async def created(client: Client, content: str = ECHO) -> str:
    reply = await client.post("/api/functions/create", {"name": "f", "content": content})
    assert reply.status == 201, reply
    function_id: str = reply.body["id"]
    return function_id


async def tried(client: Client, function_id: str, args: dict[str, Any], **more: Any) -> Reply:
    return await client.post(f"/api/functions/{function_id}/test", {"args": args, **more})


@pytest.mark.usefixtures("calling")
async def test_a_function_is_called_and_nothing_of_the_call_stays(ada: Client, services: Services) -> None:
    reply = await tried(ada, await created(ada), {"text": "hey", "times": 2})
    assert reply.status == 200, reply
    assert 0 < reply.body.pop("duration") < 4
    assert reply.body.pop("isolation") in {"bubblewrap", "landlock"}
    assert reply.body == {"result": "HEYHEY", "stdout": "shouting\n", "stderr": "", "error": None}
    assert await services.redis.keys("job:*") == []


@pytest.mark.usefixtures("calling")
async def test_what_the_code_raises_is_told_with_its_own_lines(ada: Client) -> None:
    code = "import json\n\ndef f(text: str):\n    return g(text)\n\ndef g(text):\n    return json.loads(text)"
    reply = await tried(ada, await created(ada, code), {"text": "{"})
    assert (reply.status, reply.body["result"]) == (200, None)
    error = reply.body["error"]
    assert (error["reason"], error["type"]) == ("exception", "JSONDecodeError")
    assert [line.strip() for line in error["traceback"].splitlines() if "File" in line] == [
        'File "function.py", line 4, in f',
        'File "function.py", line 7, in g',
    ]


@pytest.mark.usefixtures("calling")
async def test_a_call_that_takes_too_long_ends_and_says_for_which_limit(ada: Client) -> None:
    reply = await tried(ada, await created(ada, WEATHER), {}, entry="sleep")
    assert reply.status == 200, reply
    assert reply.body["error"]["reason"] == "wrong_settings"
    code = "import time\ndef f(): time.sleep(60)"
    reply = await tried(ada, await created(ada, code), {})
    assert (reply.body["error"]["reason"], reply.body["error"]["message"]) == ("time_limit", "It took longer than 4 seconds.")


@pytest.mark.usefixtures("calling")
async def test_tools_get_settings_and_their_user_as_open_webui_gives_them(ada: Client) -> None:
    function_id = await created(ada, WEATHER)
    unset = await tried(ada, function_id, {"city": "Oslo"}, entry="told")
    assert unset.body["error"]["message"] == "Its settings are not what its class allows (Valves: url). Set them anew."
    assert (await ada.post(f"/api/functions/{function_id}/valves", {"url": "https://w", "api_key": SECRET})).status == 200
    assert (await ada.post(f"/api/functions/{function_id}/valves/user", {"unit": "kelvin"})).status == 200
    reply = await tried(ada, function_id, {"city": "Oslo"}, entry="told")
    user = {"id": ada.user["id"], "name": "Ada", "email": ada.user["email"], "role": "admin", "valves": "kelvin"}
    assert reply.body["result"] == ["Oslo", "https://w", len(SECRET), user, function_id, None], reply


@pytest.mark.usefixtures("calling")
async def test_a_plain_function_finds_its_settings_in_a_global(ada: Client) -> None:
    function_id = await created(ada, PLAIN)
    assert (await tried(ada, function_id, {})).body["result"] == "celsius"
    await ada.post(f"/api/functions/{function_id}/valves", {"unit": "kelvin"})
    assert (await tried(ada, function_id, {})).body["result"] == "kelvin"


@pytest.mark.usefixtures("calling")
async def test_settings_that_the_class_refuses_are_not_repeated(ada: Client) -> None:
    code = PLAIN.replace('unit: str = "celsius"', "pin: str = ''\n    def __init__(self, **values):\n        raise ValueError(values)")
    function_id = await created(ada, code)
    await ada.post(f"/api/functions/{function_id}/valves", {"pin": SECRET})
    reply = await tried(ada, function_id, {})
    assert reply.body["error"]["reason"] == "wrong_settings"
    assert SECRET not in str(reply.body)


async def test_secrets_are_in_nothing_that_redis_holds(ada: Client, services: Services, sandbox: OpenedSandbox) -> None:
    function_id = await created(ada, WEATHER)
    await ada.post(f"/api/functions/{function_id}/valves", {"url": "https://w", "api_key": SECRET})
    asked = asyncio.create_task(tried(ada, function_id, {"city": "Oslo"}, entry="told"))
    held: list[bytes] = []

    async def looked() -> bool:
        held.extend([await services.redis.dump(key) or b"" for key in await services.redis.keys("*")])
        return asked.done()

    actor = Functions(results=services.results, preparation=services.preparation, sandbox=sandbox, limits=limits_of(services.settings))
    async with working(services, "here", {CALL_FUNCTION: actor}):
        await until(looked, "the call is made")
    assert (await asked).body["error"] is None
    assert any(b"Oslo" in value for value in held)
    assert not any(SECRET.encode() in value for value in held)


@pytest.mark.usefixtures("calling")
@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "args: must be given: text."),
        ({"text": "a", "loud": True}, "args: not known: loud."),
        ({"text": "a", "times": "two"}, "args: not what shout takes: times (type)."),
        ({"times": 1.5, "loud": 1}, "args: must be given: text; not known: loud; not what shout takes: times (type)."),
    ],
)
async def test_arguments_at_fault_are_all_named(ada: Client, args: dict[str, Any], said: str) -> None:
    reply = await tried(ada, await created(ada), args)
    assert (reply.status, reply.body["detail"]) == (400, said)


async def test_of_several_things_to_call_one_is_chosen(ada: Client) -> None:
    function_id = await created(ada, WEATHER)
    for more in ({}, {"entry": "nothing"}):
        reply = await tried(ada, function_id, {}, **more)
        assert reply.status == 400
        assert "Say which: told, sleep." in reply.body["detail"]


async def test_who_may_not_use_a_function_may_not_test_it(ada: Client, bob: Client) -> None:
    function_id = await created(ada)
    assert (await tried(bob, function_id, {"text": "a"})).status == 404
    await ada.post(f"/api/functions/{function_id}/toggle/global", {})
    await ada.post(f"/api/functions/{function_id}/toggle", {})
    for somebody in (ada, bob):
        reply = await tried(somebody, function_id, {"text": "a"})
        assert (reply.status, reply.body["detail"][:34]) == (403, "This function is switched off. Swi")


async def test_without_a_sandbox_a_call_is_refused_with_the_reason(
    ada: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.opened_sandbox.Sandbox.open", _refused)
    actor = Functions(
        results=services.results, preparation=services.preparation, sandbox=OpenedSandbox(1), limits=limits_of(services.settings)
    )
    async with working(services, "here", {CALL_FUNCTION: actor}):
        reply = await tried(ada, await created(ada), {"text": "a"})
    assert (reply.status, reply.body["detail"]) == (503, "This machine gives no sandbox.")


@pytest.mark.usefixtures("calling")
async def test_who_stops_waiting_stops_the_call(ada: Client, services: Services, sandbox: OpenedSandbox) -> None:
    function = await services.functions.get(ADMIN, await created(ada, "import time\ndef f(): time.sleep(60)"))
    call = CallFunction(function_id=function.id, version_id=function.version_id, entry="f", arguments={}, user_id=function.user_id)
    opened = await sandbox.get()
    before = zygotes(opened)
    asked = asyncio.create_task(services.function_calls.run(call))
    await until(lambda: len(zygotes(opened)) > len(before), "it runs")
    asked.cancel()
    await until(lambda: zygotes(opened) == before, "it has ended", timeout_s=1.5)


def _refused(**_: object) -> None:
    message = "This machine gives no sandbox."
    raise Unavailable(message)
