"""Functions: users' Python that workers run, for people and for models."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

MAX_CONTENT = 262_144

Schema = dict[str, Any]
FunctionName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Content = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CONTENT)]


class FunctionKind(StrEnum):
    """What the code holds: one plain function, or one of Open WebUI's classes."""

    FUNCTION = "function"
    TOOLS = "tools"
    FILTER = "filter"
    PIPE = "pipe"
    ACTION = "action"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What can be called. ``parameters``: the JSON Schema of its arguments, an object.

    ``injected``: the parameters that the product fills in itself, such as ``__user__``; no schema tells of them.
    """

    name: str
    description: str = ""
    parameters: Schema
    injected: tuple[str, ...] = ()
    is_async: bool = False


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What the code says of itself. ``manifest``: its frontmatter; ``valves``, ``user_valves``: JSON Schemas of its settings.

    In these a field with ``"secret": true`` is kept encrypted.
    """

    kind: FunctionKind
    entries: tuple[Entry, ...]
    manifest: dict[str, str] = {}
    valves: Schema | None = None
    user_valves: Schema | None = None
