import time
from typing import Any

import msgspec
import pytest

from core.errors import BadRequest, Forbidden, NotFound, Unavailable
from core.models.functions import CreateFunction, Function, UpdateFunction
from core.models.knowledge import AccessControl, AccessList
from core.security import Sealer
from core.services.functions.functions import Functions
from core.services.functions.valves import FunctionValves
from core.settings import Settings
from core.storage.function_valves import COLLECTION
from core.storage.function_valves import FunctionValves as ValveRows
from core.storage.records.port import Record, Records
from tests.core.services.functions.conftest import define
from tests.core.services.people import ADMIN, ME, STRANGER

SECRET = "correct horse battery"
CODE = """
from pydantic import BaseModel, Field
class Tools:
    class Valves(BaseModel):
        url: str
        api_key: str = ""
        limit: int = Field(3, ge=1)
    class UserValves(BaseModel):
        unit: str = "celsius"
        token: str = ""
    def a(self): ...
"""


@pytest.fixture
async def function(functions: Functions) -> Function:
    sharing = AccessControl(read=AccessList(user_ids=(STRANGER.id,)))
    return await functions.create(ME, CreateFunction(name="a", content=CODE, access_control=sharing), define)


async def test_a_secret_goes_in_and_comes_out_for_a_call_alone(valves: FunctionValves, function: Function, records: Records) -> None:
    shown = await valves.set(ME, function.id, {"url": "https://example.com", "api_key": SECRET})
    assert (shown.values, shown.secrets) == ({"url": "https://example.com"}, ("api_key",))
    assert await valves.get(ADMIN, function.id) == shown
    own, users = await valves.for_call(function, STRANGER.id)
    assert (own, users) == ({"url": "https://example.com", "api_key": SECRET}, {})
    assert SECRET not in repr(await records.find(COLLECTION, {}, Record))


async def test_what_is_left_out_stays_and_null_takes_away(valves: FunctionValves, function: Function) -> None:
    await valves.set(ME, function.id, {"url": "https://example.com", "api_key": SECRET, "limit": 5})
    shown = await valves.set(ME, function.id, {"limit": None})
    assert (shown.values, shown.secrets) == ({"url": "https://example.com"}, ("api_key",))
    shown = await valves.set(ME, function.id, {"api_key": None})
    assert shown.secrets == ()
    assert await valves.for_call(function, ME.id) == ({"url": "https://example.com"}, {})


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"api_key": SECRET}, "url", "must be set"),
        ({"url": "x", "limit": 0}, "limit", "minimum"),
        ({"url": "x", "api_key": [SECRET]}, "api_key", "type"),
        ({"url": "x", "colour": SECRET}, "colour", "Known are: url, api_key, limit"),
        ({"url": "x" * 70_000}, None, "bytes of JSON"),
    ],
)
async def test_what_the_schema_does_not_allow_is_named_and_not_repeated(
    valves: FunctionValves, function: Function, changes: dict[str, Any], param: str | None, said: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await valves.set(ME, function.id, changes)
    assert caught.value.param == param
    assert said in caught.value.detail
    assert SECRET not in caught.value.detail
    assert (await valves.get(ME, function.id)).values == {}


@pytest.mark.parametrize(("pattern", "said"), [("(", "no regular expression"), ("(?=a)a", "looks around"), ("^(a+)+$", "pattern")])
async def test_a_pattern_of_the_codes_own_costs_no_time(functions: Functions, valves: FunctionValves, pattern: str, said: str) -> None:
    content = CODE.replace("url: str", f"url: str = Field(pattern={pattern!r})")
    made = await functions.create(ME, CreateFunction(name="a", content=content), define)
    begun = time.process_time()
    with pytest.raises(BadRequest, match=said):
        await valves.set(ME, made.id, {"url": "a" * 60_000 + "b"})
    assert time.process_time() - begun < 1


async def test_each_user_has_settings_of_their_own(valves: FunctionValves, function: Function) -> None:
    assert (await valves.set_own(STRANGER, function.id, {"unit": "kelvin", "token": SECRET})).secrets == ("token",)
    assert (await valves.get_own(ME, function.id)).values == {}
    assert await valves.for_call(function, STRANGER.id) == ({}, {"unit": "kelvin", "token": SECRET})
    assert await valves.for_call(function, ME.id) == ({}, {})
    await valves.remove_user(STRANGER.id)
    assert await valves.for_call(function, STRANGER.id) == ({}, {})


async def test_the_functions_own_are_for_who_may_edit_it(valves: FunctionValves, function: Function) -> None:
    with pytest.raises(Forbidden):
        await valves.get(STRANGER, function.id)
    with pytest.raises(Forbidden):
        await valves.set(STRANGER, function.id, {"url": "x"})


async def test_a_function_without_settings_says_so(valves: FunctionValves, functions: Functions) -> None:
    plain = await functions.create(ME, CreateFunction(name="f", content="def f(): ..."), define)
    for ask in (valves.get, valves.get_own):
        with pytest.raises(NotFound, match="no such settings"):
            await ask(ME, plain.id)
    assert await valves.for_call(plain, ME.id) == ({}, {})


async def test_code_that_no_longer_calls_a_value_secret_does_not_show_it(
    valves: FunctionValves, function: Function, functions: Functions
) -> None:
    await valves.set(ME, function.id, {"url": "x", "api_key": SECRET})
    content = CODE.replace('api_key: str = ""', 'api_key: str = Field("", json_schema_extra={"secret": False})')
    changed = await functions.update(ME, UpdateFunction(id=function.id, content=content), define)
    shown = await valves.set(ME, function.id, {"limit": 7})
    assert (shown.values, shown.secrets) == ({"url": "x", "limit": 7}, ("api_key",))
    assert (await valves.for_call(changed, ME.id))[0]["api_key"] == SECRET


async def test_values_that_the_code_no_longer_knows_are_not_given(valves: FunctionValves, function: Function, functions: Functions) -> None:
    await valves.set(ME, function.id, {"url": "x", "api_key": SECRET})
    changed = await functions.update(
        ME, UpdateFunction(id=function.id, content=CODE.replace("api_key", "key").replace("url", "address")), define
    )
    assert (await valves.get(ME, function.id)).values == {}
    assert await valves.for_call(changed, ME.id) == ({}, {})


async def test_another_secret_key_opens_nothing_and_the_value_can_be_set_anew(
    valves: FunctionValves, function: Function, functions: Functions, valve_rows: ValveRows, store_settings: Settings
) -> None:
    await valves.set(ME, function.id, {"url": "x", "api_key": SECRET})
    later = FunctionValves(functions, valve_rows, Sealer(msgspec.structs.replace(store_settings, secret_key="another key" * 4)))
    with pytest.raises(Unavailable, match="PENSTOCK_SECRET_KEY"):
        await later.for_call(function, ME.id)
    await later.set(ME, function.id, {"api_key": "new"})
    assert (await later.for_call(function, ME.id))[0] == {"url": "x", "api_key": "new"}


async def test_a_row_put_in_anothers_place_opens_nothing(
    valves: FunctionValves, function: Function, functions: Functions, records: Records
) -> None:
    await valves.set(ME, function.id, {"url": "x", "api_key": SECRET})
    other = await functions.create(ME, CreateFunction(name="b", content=CODE), define)
    (row,) = await records.find(COLLECTION, {}, Record)
    await records.put(COLLECTION, [row | {"_id": f"{other.id}:"}])
    with pytest.raises(Unavailable):
        await valves.for_call(other, ME.id)


async def test_settings_go_with_their_function(valves: FunctionValves, function: Function, functions: Functions, records: Records) -> None:
    await valves.set(ME, function.id, {"url": "x"})
    await valves.set_own(STRANGER, function.id, {"unit": "kelvin"})
    await functions.delete(ME, function.id)
    assert await records.find(COLLECTION, {}, Record) == []
