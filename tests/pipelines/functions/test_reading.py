import time

import pytest

from core.errors import BadRequest
from core.models.functions import FunctionKind
from pipelines.functions import read

WEATHER = '''"""
title: Weather
author: Ada
author_url: https://example.com/ada
version: 0.1.2
requirements: httpx, numpy
description: Tells the weather: everywhere.
"""

import warnings
from pydantic import BaseModel, Field

warnings.warn("this is run")
raise SystemExit("this is run")


class Tools:
    class Valves(BaseModel):
        """How the service is reached."""
        url: str = Field("https://example.com", description="The service.")
        api_key: str = Field(default="")
        max_tokens: int = 100
        pin: str = Field("", json_schema_extra={"secret": True, "$ref": "http://example.com"})
        public_token: str = Field("", json_schema_extra={"secret": False})

    class UserValves(BaseModel):
        unit: str = "celsius"

    def __init__(self):
        self.valves = self.Valves()

    async def get_weather(self, city: str, __user__: dict = {}, __event_emitter__=None) -> str:
        """
        The weather now.

        :param city: Where.
        """
        return self._ask(city)

    @staticmethod
    def units(count: int = 2) -> list[str]:
        return ["celsius", "fahrenheit"]

    def _ask(self, city): ...
'''


def test_a_class_of_tools_is_read_without_running_it() -> None:
    found = read(WEATHER, "weather")
    assert found.kind is FunctionKind.TOOLS
    assert found.manifest == {
        "title": "Weather",
        "author": "Ada",
        "author_url": "https://example.com/ada",
        "version": "0.1.2",
        "requirements": "httpx, numpy",
        "description": "Tells the weather: everywhere.",
    }
    weather, units = found.entries
    assert (weather.name, weather.description, weather.is_async) == ("get_weather", "The weather now.", True)
    assert weather.injected == ("__user__", "__event_emitter__")
    assert weather.parameters == {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Where."}},
        "required": ["city"],
        "additionalProperties": False,
    }
    assert list(units.parameters["properties"]) == ["count"]


def test_settings_say_which_of_them_are_secret() -> None:
    found = read(WEATHER, "weather")
    assert found.valves
    assert found.valves["properties"] == {
        "url": {"type": "string", "description": "The service.", "default": "https://example.com"},
        "api_key": {"type": "string", "secret": True, "writeOnly": True},
        "max_tokens": {"type": "integer", "default": 100},
        "pin": {"type": "string", "secret": True, "writeOnly": True},
        "public_token": {"type": "string", "default": ""},
    }
    assert found.user_valves == {"type": "object", "properties": {"unit": {"type": "string", "default": "celsius"}}}


@pytest.mark.parametrize(
    ("code", "kind", "entries"),
    [
        (
            "class Filter:\n  def inlet(self, body: dict, __user__=None): ...\n  def outlet(self, body): ...",
            FunctionKind.FILTER,
            ["inlet", "outlet"],
        ),
        ("class Pipe:\n  def pipes(self): ...\n  async def pipe(self, body: dict): ...", FunctionKind.PIPE, ["pipes", "pipe"]),
        ("class Action:\n  async def action(self, body: dict, __event_call__=None): ...", FunctionKind.ACTION, ["action"]),
        ("class Base:\n  def a(self): ...\nclass Tools(Base):\n  def b(self): ...", FunctionKind.TOOLS, ["a", "b"]),
        ("try:\n  import x\nexcept ImportError:\n  def f(): ...\nelse:\n  def f(a): ...", FunctionKind.FUNCTION, ["f"]),
        ("def _help(): ...\ndef shout(a): ...", FunctionKind.FUNCTION, ["shout"]),
        ("def named_like_it(): ...\ndef other(): ...", FunctionKind.FUNCTION, ["named_like_it"]),
    ],
)
def test_the_code_says_what_kind_it_is(code: str, kind: FunctionKind, entries: list[str]) -> None:
    found = read(code, "Named like it")
    assert (found.kind, [entry.name for entry in found.entries]) == (kind, entries)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(:\n  pass", "line 1, column 7: invalid syntax"),
        ("a = 1\n\nreturn a", "line 3, column 1: 'return' outside function"),
        ("def f():\npass", "line 2, column 1: expected an indented block"),
        ("x = '\0'", "null bytes"),
        ("x = '\ud800'", "characters that Python code cannot hold"),
        ("-" * 100_000 + "1", "nested too deeply"),
        ("a = 1", "nothing to call"),
        ("def a(): ...\ndef b(): ...", "several functions (a, b)"),
        ("class Pipe:\n  pass", "needs one of the methods pipe, pipes"),
        ("class Tools:\n  def _a(self): ...", "needs a public method"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(code: str, said: str) -> None:
    with pytest.raises(BadRequest, match="content: ") as caught:
        read(code, "f")
    assert said in caught.value.detail
    assert caught.value.param == "content"


def test_names_that_double_at_each_step_are_refused_soon() -> None:
    doubling = "".join(f"T{n} = tuple[T{n + 1}, T{n + 1}]\n" for n in range(40))
    begun = time.process_time()
    with pytest.raises(BadRequest, match="refer to each other too often"):
        read(doubling + "def f(a: T0): ...", "f")
    assert time.process_time() - begun < 2


def test_an_odd_escape_in_a_text_is_no_error() -> None:
    assert read("def f(a='\\d'): ...", "f").entries[0].parameters["properties"] == {"a": {"default": "\\d"}}
