"""One call of a route, and what must be there before it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from tests.api.conftest import Client
from tests.api.server_fixture import ServerFixture

NOTHING: Mapping[str, str] = {}


class Call(NamedTuple):
    """``variables``: of the path; ``body``: JSON, or bytes as they are."""

    variables: Mapping[str, str] = NOTHING
    body: Any = None
    query: Mapping[str, str] = NOTHING
    headers: Mapping[str, str] = NOTHING


def filled(pattern: str, variables: Mapping[str, str]) -> str:
    """A path with its variables."""
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: variables[found[1]], pattern)


def sent(body: Any) -> bytes | None:
    """A body as it travels."""
    return body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)


Prepare = Callable[[ServerFixture, Client, Client], Awaitable[Call]]


def simply(body: Any = None, **query: str) -> Prepare:
    """A call that needs nothing prepared."""

    async def prepare(_server: ServerFixture, _owner: Client, _asker: Client) -> Call:
        return Call(body=body, query=query)

    return prepare
