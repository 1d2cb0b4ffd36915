"""Functions: users' own code, its settings, and who may use it."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from api.http.json import json_response, read
from api.http.keys import PRINCIPAL, SERVICES
from core.models.function_calls import FunctionOutcome, TryFunction
from core.models.functions import (
    CreateFunction,
    Definition,
    Function,
    FunctionEntry,
    FunctionKind,
    FunctionVersion,
    Schema,
    UpdateFunction,
)
from core.models.knowledge import AccessControl
from core.services.functions.valves import Valves
from pipelines import functions

Values = dict[str, Any]


class FunctionMetaResponse(msgspec.Struct, frozen=True, kw_only=True):
    """``manifest``: what the docstring at the top of the code says: title, author, version, requirements and the like."""

    description: str
    manifest: dict[str, str]


class FunctionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A function. Times are Unix seconds. ``content`` and ``access_control`` are there for who may edit it.

    ``type``: what the code holds; ``entries``: what of it can be called, with the JSON Schema of its arguments.
    ``version``: counts up whenever the code changes. ``is_active``: it may be called; ``is_global``: by everybody.
    """

    id: str
    user_id: str
    name: str
    type: FunctionKind
    content: str | UnsetType = UNSET
    entries: tuple[FunctionEntry, ...]
    meta: FunctionMetaResponse
    access_control: AccessControl | UnsetType = UNSET
    is_active: bool
    is_global: bool
    has_valves: bool
    has_user_valves: bool
    version: int
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, function: Function, *, editable: bool) -> "FunctionResponse":
        """From the model."""
        definition = function.definition
        return cls(
            id=function.id,
            user_id=function.user_id,
            name=function.name,
            type=function.type,
            content=function.content if editable else UNSET,
            entries=definition.entries,
            meta=FunctionMetaResponse(description=function.meta.description, manifest=definition.manifest),
            access_control=function.access_control if editable else UNSET,
            is_active=function.is_active,
            is_global=function.is_global,
            has_valves=definition.valves is not None,
            has_user_valves=definition.user_valves is not None,
            version=function.version,
            created_at=function.created_at,
            updated_at=function.updated_at,
        )


class FunctionVersionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The code as it once was. ``user_id``: who wrote it. Times are Unix seconds."""

    version: int
    content: str
    user_id: str
    created_at: int

    @classmethod
    def of(cls, version: FunctionVersion) -> "FunctionVersionResponse":
        """From the model."""
        return cls(version=version.number, content=version.content, user_id=version.user_id, created_at=version.created_at)


class ValvesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Settings. ``schema``: what they may be; ``values``: those that are set; ``secrets``: the names of secret ones that are set."""

    schema: Schema
    values: Values
    secrets: tuple[str, ...]

    @classmethod
    def of(cls, valves: Valves) -> "ValvesResponse":
        """From what the service shows."""
        return cls(schema=valves.schema, values=valves.values, secrets=valves.secrets)


class FunctionErrorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call has no result. ``reason``: ``exception``, or what ended the call, such as ``time_limit``.

    ``type``: the exception's; ``traceback``: the lines of the function's own code.
    """

    reason: str
    type: str | None
    message: str
    traceback: str | None


class FunctionTestResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call. ``duration``: seconds in the sandbox; ``isolation``: what kept the code off the machine."""

    result: Any
    stdout: str
    stderr: str
    duration: float
    isolation: str
    error: FunctionErrorResponse | None

    @classmethod
    def of(cls, outcome: FunctionOutcome) -> "FunctionTestResponse":
        """From what the worker says."""
        why, error = outcome.error, None
        if why:
            error = FunctionErrorResponse(reason=why.reason, type=why.exception, message=why.message, traceback=why.traceback)
        return cls(
            result=outcome.result,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            duration=outcome.duration,
            isolation=outcome.isolation,
            error=error,
        )


async def list_(request: web.Request) -> web.Response:
    """``GET /api/functions/``: the functions that one may use, the last changed first."""
    service, principal = request.app[SERVICES].functions, request[PRINCIPAL]
    found = await service.list(principal)
    return json_response([FunctionResponse.of(function, editable=service.may_edit(principal, function)) for function in found])


async def create(request: web.Request) -> web.Response:
    """``POST /api/functions/create``: keep code as a function. It is read, not run; it takes the right to write functions.

    The code holds one function, or one of the classes ``Tools``, ``Pipe``, ``Filter`` and ``Action`` that Open WebUI knows. Of several
    functions, the one named like the function is meant. Syntax errors are answered with line and column.
    """
    command = await read(request, CreateFunction)
    return _answer(request, await request.app[SERVICES].functions.create(request[PRINCIPAL], command, define), status=201)


async def update(request: web.Request) -> web.Response:
    """``POST /api/functions/update``: change a function. Other code makes another version; calls that have begun keep theirs."""
    command = await read(request, UpdateFunction)
    return _answer(request, await request.app[SERVICES].functions.update(request[PRINCIPAL], command, define))


async def get(request: web.Request) -> web.Response:
    """``GET /api/functions/{function_id}``: one function."""
    return _answer(request, await request.app[SERVICES].functions.get(request[PRINCIPAL], request.match_info["function_id"]))


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/functions/{function_id}``: delete a function with its versions and settings."""
    await request.app[SERVICES].functions.delete(request[PRINCIPAL], request.match_info["function_id"])
    return json_response(True)  # noqa: FBT003 - the whole answer


async def versions(request: web.Request) -> web.Response:
    """``GET /api/functions/{function_id}/versions``: what the code was, the newest first."""
    found = await request.app[SERVICES].functions.versions(request[PRINCIPAL], request.match_info["function_id"])
    return json_response([FunctionVersionResponse.of(version) for version in found])


async def toggle(request: web.Request) -> web.Response:
    """``POST /api/functions/{function_id}/toggle``: switch a function off, or on again."""
    return _answer(request, await request.app[SERVICES].functions.toggle(request[PRINCIPAL], request.match_info["function_id"]))


async def toggle_global(request: web.Request) -> web.Response:
    """``POST /api/functions/{function_id}/toggle/global``: let everybody use a function, or no longer."""
    return _answer(request, await request.app[SERVICES].functions.toggle_global(request[PRINCIPAL], request.match_info["function_id"]))


async def valves(request: web.Request) -> web.Response:
    """``GET /api/functions/{function_id}/valves``: the function's settings. Secret ones are named, and never shown."""
    found = await request.app[SERVICES].function_valves.get(request[PRINCIPAL], request.match_info["function_id"])
    return json_response(ValvesResponse.of(found))


async def set_valves(request: web.Request) -> web.Response:
    """``POST /api/functions/{function_id}/valves``: change the function's settings. What is left out stays; null takes a value away."""
    changes, service = await read(request, Values), request.app[SERVICES].function_valves
    return json_response(ValvesResponse.of(await service.set(request[PRINCIPAL], request.match_info["function_id"], changes)))


async def user_valves(request: web.Request) -> web.Response:
    """``GET /api/functions/{function_id}/valves/user``: one's own settings for a function. Secret ones are named, and never shown."""
    found = await request.app[SERVICES].function_valves.get_own(request[PRINCIPAL], request.match_info["function_id"])
    return json_response(ValvesResponse.of(found))


async def set_user_valves(request: web.Request) -> web.Response:
    """``POST /api/functions/{function_id}/valves/user``: change one's own settings. What is left out stays; null takes a value away."""
    changes, service = await read(request, Values), request.app[SERVICES].function_valves
    return json_response(ValvesResponse.of(await service.set_own(request[PRINCIPAL], request.match_info["function_id"], changes)))


async def test(request: web.Request) -> web.Response:
    """``POST /api/functions/{function_id}/test``: call a function in a worker's sandbox. ``entry`` says what of it, if there is a choice.

    Arguments that are missing, unknown or wrong are answered with 400. What the code itself does wrong, and limits that it breaks, are in
    ``error``: the call was made.
    """
    command, service = await read(request, TryFunction), request.app[SERVICES].function_trials
    return json_response(FunctionTestResponse.of(await service.make(request[PRINCIPAL], request.match_info["function_id"], command)))


async def define(content: str, name: str) -> Definition:
    """What the code holds, read on a thread: it may be long."""
    return await asyncio.to_thread(functions.read, content, name)


def _answer(request: web.Request, function: Function, *, status: int = 200) -> web.Response:
    editable = request.app[SERVICES].functions.may_edit(request[PRINCIPAL], function)
    return json_response(FunctionResponse.of(function, editable=editable), status=status)
