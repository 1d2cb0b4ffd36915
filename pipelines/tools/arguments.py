"""A model's call held against the tools that it was told of; what is wrong with it is said for the model to read."""

from collections.abc import Sequence
from typing import Any

import jsonschema_rs
import msgspec

from core.models.tools import Tool
from pipelines.tools.rounds import ToolRequest

MAX_SAID = 500


class BadCall(Exception):
    """What is wrong with a call, in words."""


def read_call(request: ToolRequest, tools: Sequence[Tool]) -> tuple[Tool, dict[str, Any]]:
    """The tool that is called, and with what. Raises BadCall."""
    tool = next((tool for tool in tools if tool.name == request.name), None)
    if tool is None:
        message = f"There is no tool {request.name[:100]!r}. There are: {', '.join(tool.name for tool in tools)}."
        raise BadCall(message)
    try:
        arguments = _read(request)
    except (msgspec.MsgspecError, RecursionError) as error:
        message = f"The arguments are not JSON: {error}."
        raise BadCall(message) from None
    if not isinstance(arguments, dict):
        message = f"The arguments must be an object with the members {', '.join(tool.parameters.get('properties', {})) or '(none)'}."
        raise BadCall(message)
    _check(tool.parameters, arguments)
    return tool, arguments


def shown(request: ToolRequest) -> bytes:
    """The arguments as JSON, whatever the model wrote."""
    try:
        return msgspec.json.encode(_read(request))
    except (msgspec.MsgspecError, RecursionError):
        return msgspec.json.encode(request.arguments)


def _read(request: ToolRequest) -> Any:
    return msgspec.json.decode(request.arguments.strip() or "{}")


def _check(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    try:
        # Patterns are users' own, so by an engine whose time grows with the text alone.
        faults = list(jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions()).iter_errors(arguments))
    except (ValueError, jsonschema_rs.ValidationError):  # a pattern that such an engine does not know: the code itself may refuse
        return
    if faults:
        message = "Wrong arguments: " + "; ".join(_say(fault) for fault in faults[:5]) + "."
        raise BadCall(message)


def _say(fault: jsonschema_rs.ValidationError) -> str:
    where = ".".join(map(str, fault.instance_path))
    message = fault.message[:MAX_SAID]  # it repeats the value, which may be long
    return f"{where}: {message}" if where else message
