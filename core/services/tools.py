"""Functions as tools of an answer: whether its asker may use them, what the model calls them, and what became of each call."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from core.errors import BadRequest, Forbidden, NotFound
from core.models.catalog import CustomModel
from core.models.events import Event, ToolCall, ToolResult
from core.models.functions import Function, FunctionEntry, FunctionKind
from core.models.tools import MAX_TOOL_IDS, MAX_TOOLS, Tool
from core.models.users import Principal
from core.services.functions.functions import Functions

NAME_CHARACTERS = 64  # OpenAI's limit
KINDS = frozenset((FunctionKind.FUNCTION, FunctionKind.TOOLS))

_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


class Tools:
    """The service of tools. Workers ask nobody again: what it has let through, models may call, as the code was at that moment."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    async def check(
        self, principal: Principal, asked: Sequence[str] | None, custom: CustomModel | None, theirs: Collection[str] = ()
    ) -> tuple[Tool, ...]:
        """The tools of an answer: those that were ``asked`` for; where nobody asked, those of a custom model.

        Of a custom model's, those are left out that its asker may not use, as Open WebUI's clients do. ``theirs``: names of tools that
        the client runs itself. Raises NotFound, Forbidden for one that is switched off, and BadRequest.
        """
        tool_ids = dict.fromkeys(asked or ())
        found = [await self._get(principal, tool_id) for tool_id in tool_ids]
        if asked is None and custom:
            found = [function for tool_id in named_in({"meta": custom.meta}) if (function := await self._find(principal, tool_id))]
        entries = [(function, entry) for function in found for entry in function.definition.entries]
        if len(entries) > MAX_TOOLS:
            message = f"tool_ids: these are {len(entries)} tools together, and a model is told of {MAX_TOOLS} at most. Name fewer."
            raise BadRequest(message, param="tool_ids")
        names = set(theirs)
        return tuple(_tool(function, entry, names) for function, entry in entries)

    async def _get(self, principal: Principal, tool_id: str) -> Function:
        try:
            function = await self._functions.get_callable(principal, tool_id)
        except (NotFound, Forbidden) as error:
            message = f"tool_ids: {tool_id!r}: {error.detail}"
            raise type(error)(message, param="tool_ids") from None
        if function.type not in KINDS:
            message = f"tool_ids: {tool_id!r} is of type {function.type}, and models call functions and tools only."
            raise BadRequest(message, param="tool_ids")
        return function

    async def _find(self, principal: Principal, tool_id: str) -> Function | None:
        try:
            return await self._get(principal, tool_id)
        except (NotFound, Forbidden, BadRequest):
            return None


def named_in(document: Mapping[str, Any]) -> list[str]:
    """Ids of tools that a chat or a custom model names, as Open WebUI's clients keep them. What is no id is passed over."""
    meta = document.get("meta")
    kept = (document.get("tool_ids"), meta.get("toolIds") if isinstance(meta, dict) else None)
    ids = [one for found in kept if isinstance(found, list) for one in found if isinstance(one, str) and one]
    return list(dict.fromkeys(ids))[:MAX_TOOL_IDS]


def names_of(tools: Iterable[Any] | None) -> set[str]:
    """Of tools in OpenAI's form."""
    functions = [tool.get("function") for tool in tools or () if isinstance(tool, dict)]
    return {str(function.get("name")) for function in functions if isinstance(function, dict)}


def describe_calls(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Each call once, in the order in which they were begun: ``key``, ``name`` and ``arguments``, and its ``result`` or ``error``."""
    calls: dict[str, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, ToolCall):
            calls.setdefault(event.key, describe_call(event))
        elif isinstance(event, ToolResult) and event.key in calls:
            calls[event.key] |= describe_result(event)
    return list(calls.values())


def describe_call(event: ToolCall) -> dict[str, Any]:
    """A call that begins, as clients read it."""
    return {"key": event.key, "name": event.name, "arguments": msgspec.json.decode(event.arguments)}


def describe_result(event: ToolResult) -> dict[str, Any]:
    """What a call gave, as clients read it."""
    return {"key": event.key, **msgspec.json.decode(event.result, type=dict[str, Any])}


def _tool(function: Function, entry: FunctionEntry, names: set[str]) -> Tool:
    """``names``: those that are taken; this one's becomes one of them."""
    fit = _UNFIT.sub("_", entry.name)[:NAME_CHARACTERS] or "_"
    name, number = fit, 1
    while name in names:
        number += 1
        name = f"{fit[: NAME_CHARACTERS - 4]}_{number}"
    names.add(name)
    return Tool(
        name=name,
        function_id=function.id,
        version_id=function.version_id,
        entry=entry.name,
        description=entry.description or function.meta.description,
        parameters=entry.parameters,
    )
