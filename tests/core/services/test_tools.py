"""Which functions are tools of an answer, and what models call them."""

import re
from typing import Any

import msgspec
import pytest

from core.errors import BadRequest, Forbidden, NotFound
from core.models.catalog import CustomModel
from core.models.events import Event, ToolCall, ToolResult
from core.models.functions import CreateFunction, Function
from core.services.functions.functions import Functions
from core.services.tools import Tools, describe_calls, named_in, names_of
from tests.core.services.functions.conftest import configs, define, functions
from tests.core.services.people import ADMIN, ME, STRANGER

__all__ = ["configs", "functions"]

WEATHER = '''
class Tools:
    def today(self, city: str) -> str:
        """Tell the weather."""

    def tomorrow(self, city: str) -> str:
        """Tell it before it is."""
'''
PLAIN = 'def today(city: str) -> str:\n    """Tell the news."""'


async def made(functions: Functions, content: str, name: str = "weather") -> Function:
    return await functions.create(ME, CreateFunction(name=name, content=content), define)


def custom(*tool_ids: str) -> CustomModel:
    about: dict[str, Any] = {"created_at": 1, "updated_at": 1}
    return CustomModel(id="c", name="C", base_model_id="m", user_id="u", meta={"toolIds": list(tool_ids)}, **about)


async def test_each_callable_is_a_tool_of_its_own_under_a_name_of_its_own(functions: Functions) -> None:
    weather, plain = await made(functions, WEATHER), await made(functions, PLAIN, "today")
    tools = await Tools(functions).check(ME, [weather.id, plain.id, weather.id], None, {"tomorrow"})
    assert [(tool.name, tool.entry, tool.function_id) for tool in tools] == [
        ("today", "today", weather.id),
        ("tomorrow_2", "tomorrow", weather.id),
        ("today_2", "today", plain.id),
    ]
    assert (tools[2].version_id, tools[2].description) == (plain.version_id, "Tell the news.")
    assert tools[2].parameters["required"] == ["city"]


@pytest.mark.parametrize("name", ["grüße", "a" * 200])
async def test_names_are_fit_for_openai(functions: Functions, name: str) -> None:
    first, second = [await made(functions, f"def {name}(x: int) -> int:\n    return x", name[:200]) for _ in range(2)]
    names = [tool.name for tool in await Tools(functions).check(ME, [first.id, second.id], None)]
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in names)


async def test_one_that_may_not_be_used_is_told_by_its_field(functions: Functions) -> None:
    weather, off = await made(functions, WEATHER), await made(functions, PLAIN, "today")
    await functions.toggle(ME, off.id)
    pipe = await made(functions, "class Pipe:\n    def pipe(self, body: dict) -> str:\n        return ''", "pipe")
    for who, tool_id, kind in (
        (STRANGER, weather.id, NotFound),
        (ME, "none", NotFound),
        (ME, off.id, Forbidden),
        (ME, pipe.id, BadRequest),
    ):
        with pytest.raises(kind) as refused:
            await Tools(functions).check(who, [tool_id], None)
        assert refused.value.param == "tool_ids"


async def test_a_custom_models_count_where_nobody_says_and_its_asker_may_use_them(functions: Functions) -> None:
    weather, plain = await made(functions, WEATHER), await made(functions, PLAIN, "today")
    await functions.toggle_global(ADMIN, plain.id)
    model, tools = custom(weather.id, plain.id, "none"), Tools(functions)
    assert [tool.name for tool in await tools.check(ME, None, model)] == ["today", "tomorrow", "today_2"]
    assert [tool.function_id for tool in await tools.check(STRANGER, None, model)] == [plain.id]
    assert await tools.check(ME, [], model) == ()
    assert await tools.check(ME, None, None) == ()


def test_what_a_document_names_is_read_whatever_it_holds() -> None:
    assert named_in({"tool_ids": ["a", 1, ""], "meta": {"toolIds": ["b", "a"]}}) == ["a", "b"]
    assert named_in({"tool_ids": "a", "meta": ["b"]}) == named_in({}) == []
    assert names_of([{"type": "function", "function": {"name": "f"}}, {"function": 1}, "x"]) == {"f"}
    assert names_of(None) == set()


def test_a_call_is_described_once_with_what_it_gave() -> None:
    call = ToolCall(key="1.0", name="f", arguments=msgspec.Raw(b'{"x":1}'))
    log: list[Event] = [call, call, ToolResult(key="1.0", result=msgspec.Raw(b'{"result":null}')), msgspec.structs.replace(call, key="2.0")]
    about = {"name": "f", "arguments": {"x": 1}}
    assert describe_calls(log) == [{"key": "1.0", **about, "result": None}, {"key": "2.0", **about}]
