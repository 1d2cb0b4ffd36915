"""Tools: functions that a model may call for an answer, and what a call gave."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

MAX_TOOL_IDS = 50
MAX_TOOLS = 128  # of one answer: OpenAI takes no more

ToolId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
ToolIds = Annotated[list[ToolId], msgspec.Meta(max_length=MAX_TOOL_IDS)]


class Tool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One callable of a function, as its code was when the answer was asked for.

    ``name``: what the model calls it, its own within the answer; ``entry``: what the code calls it; ``parameters``: a JSON Schema.
    """

    name: str
    function_id: str
    version_id: str
    entry: str
    description: str = ""
    parameters: dict[str, Any]


class ToolOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave: ``result``, JSON, small, or ``error``, for the model to read."""

    result: Any = UNSET
    error: str | UnsetType = UNSET
