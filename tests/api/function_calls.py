"""How the routes of functions are called."""

from typing import Any

from core.models.configs import FunctionRightChanges, FunctionRights
from tests.api.call import Call, Prepare, simply
from tests.api.conftest import Client
from tests.api.server_fixture import ServerFixture
from tests.core.services.people import ADMIN

NEW = {"name": "my_function", "type": "function", "content": "def my_function(param: str) -> str:\n    return param.upper()"}
WEATHER = '''"""
title: Weather
version: 0.1.0
"""

from pydantic import BaseModel, Field


class Tools:
    class Valves(BaseModel):
        url: str = Field("https://weather.example.com", description="Where the weather is asked for.")
        api_key: str = ""

    class UserValves(BaseModel):
        unit: str = "celsius"

    async def get_weather(self, city: str, days: int = 1, __user__: dict = {}) -> str:
        """Tell the weather.

        :param city: Where.
        :param days: How many days ahead.
        """
        return f"In {city} the sun shines."
'''


async def allow(server: ServerFixture, owner: Client) -> None:
    """The owner may write functions."""
    await server.services.configs.change(ADMIN, FunctionRights, FunctionRightChanges(user_ids=(owner.user["id"],)))


async def new_function(server: ServerFixture, owner: Client, content: str = WEATHER) -> str:
    """A function's id."""
    await allow(server, owner)
    reply = await owner.post("/api/functions/create", {"name": "weather", "content": content})
    assert reply.status == 201, reply
    function_id: str = reply.body["id"]
    return function_id


def function(body: Any = None) -> Prepare:
    """A call for a function of the owner's."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        return Call({"function_id": await new_function(server, owner)}, body)

    return prepare


async def creating(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    await allow(server, owner)
    return Call(body=NEW)


async def updating(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    return Call(body={"id": await new_function(server, owner), "content": WEATHER.replace("shines", "hides")})


async def having_a_function(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    await new_function(server, owner)
    return Call()


FUNCTION_CALLS: dict[str, Prepare] = {
    "GET /api/configs/functions": simply(),
    "POST /api/configs/functions": simply({"roles": [], "user_ids": []}),
    "GET /api/functions/": having_a_function,
    "POST /api/functions/create": creating,
    "POST /api/functions/update": updating,
    "GET /api/functions/{function_id}": function(),
    "DELETE /api/functions/{function_id}": function(),
    "GET /api/functions/{function_id}/versions": function(),
    "POST /api/functions/{function_id}/toggle": function(),
    "POST /api/functions/{function_id}/toggle/global": function(),
    "POST /api/functions/{function_id}/test": function({"args": {"city": "Oslo"}}),
    "GET /api/functions/{function_id}/valves": function(),
    "POST /api/functions/{function_id}/valves": function({"api_key": "my-key"}),
    "GET /api/functions/{function_id}/valves/user": function(),
    "POST /api/functions/{function_id}/valves/user": function({"unit": "kelvin"}),
}
