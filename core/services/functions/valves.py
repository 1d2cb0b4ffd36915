"""Settings of functions: the function's own, and each user's for it. Secret ones go in, and come out only for a call."""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.errors import BadRequest, NotFound, Unavailable
from core.models.functions import Function, Schema, SealedValves, ValveValues
from core.models.users import Principal
from core.security import Sealer
from core.services.functions.checking import faults, names
from core.services.functions.functions import Functions
from core.storage.function_valves import FunctionValves as ValveRows

MAX_BYTES = 65_536  # of JSON


class Valves(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown. ``values``: those that are set and not secret; ``secrets``: names of secret ones that are set."""

    schema: Schema
    values: dict[str, Any]
    secrets: tuple[str, ...]


class FunctionValves:
    """The service of settings."""

    def __init__(self, functions: Functions, rows: ValveRows, sealer: Sealer) -> None:
        self._functions = functions
        self._rows = rows
        self._sealer = sealer
        functions.on_delete.append(rows.remove_function)

    async def get(self, principal: Principal, function_id: str) -> Valves:
        """The function's own, for who may edit it. Raises NotFound, Forbidden."""
        function = await self._functions.get_editable(principal, function_id)
        return await self._show(function, _schema(function.definition.valves))

    async def set(self, principal: Principal, function_id: str, changes: Mapping[str, Any]) -> Valves:
        """Change the function's own: what is left out stays, null takes a value away. Raises NotFound, Forbidden, BadRequest."""
        function = await self._functions.get_editable(principal, function_id)
        return await self._change(function, _schema(function.definition.valves), changes)

    async def get_own(self, principal: Principal, function_id: str) -> Valves:
        """A user's for a function that they may use. Raises NotFound."""
        function = await self._functions.get(principal, function_id)
        return await self._show(function, _schema(function.definition.user_valves), principal.id)

    async def set_own(self, principal: Principal, function_id: str, changes: Mapping[str, Any]) -> Valves:
        """Change a user's. Raises NotFound, BadRequest."""
        function = await self._functions.get(principal, function_id)
        return await self._change(function, _schema(function.definition.user_valves), changes, principal.id)

    async def for_call(self, function: Function, user_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """For a call: the function's own and the user's, secret ones among them. Raises Unavailable where these cannot be decrypted."""
        definition = function.definition
        return (
            await self._whole(_id(function.id), definition.valves),
            await self._whole(_id(function.id, user_id), definition.user_valves),
        )

    async def remove_user(self, user_id: str) -> None:
        """Take away all that a user has set for themself."""
        await self._rows.remove_user(user_id)

    async def _show(self, function: Function, schema: Schema, user_id: str = "") -> Valves:
        stored = await self._rows.get(_id(function.id, user_id))
        values, secrets = (stored.values, stored.secrets) if stored else ({}, ())
        shown = {name: value for name, value in values.items() if name in names(schema) and not _is_secret(schema, name)}
        return Valves(schema=schema, values=shown, secrets=secrets)

    async def _change(self, function: Function, schema: Schema, changes: Mapping[str, Any], user_id: str = "") -> Valves:
        valves_id = _id(function.id, user_id)
        stored = await self._rows.get(valves_id)
        plain = dict(stored.values) if stored else {}
        secret = await self._open_or_forget(valves_id)
        for name, value in changes.items():
            plain.pop(name, None)
            secret.pop(name, None)
            if value is not None:
                (secret if _is_secret(schema, name) else plain)[name] = value
        known = names(schema)
        _check(schema, changes, {name: value for name, value in (plain | secret).items() if name in known})
        plain = {name: value for name, value in plain.items() if name in known}
        secret = {name: value for name, value in secret.items() if name in known}
        sealed = self._sealer.seal(msgspec.json.encode(secret), _purpose(valves_id)) if secret else ""
        values = ValveValues(id=valves_id, function_id=function.id, user_id=user_id, values=plain, secrets=tuple(sorted(secret)))
        await self._rows.put(values, SealedValves(id=valves_id, sealed=sealed))
        return await self._show(function, schema, user_id)

    async def _whole(self, valves_id: str, schema: Schema | None) -> dict[str, Any]:
        if schema is None:
            return {}
        stored = await self._rows.get(valves_id)
        values = (stored.values if stored else {}) | await self._open(valves_id)
        return {name: value for name, value in values.items() if name in names(schema)}

    async def _open(self, valves_id: str) -> dict[str, Any]:
        sealed = await self._rows.sealed(valves_id)
        if not sealed:
            return {}
        found: dict[str, Any] = msgspec.json.decode(self._sealer.open(sealed, _purpose(valves_id)))
        return found

    async def _open_or_forget(self, valves_id: str) -> dict[str, Any]:
        """What another secret key has encrypted is lost, and must not keep anybody from setting it anew."""
        try:
            return await self._open(valves_id)
        except Unavailable:
            return {}


def _id(function_id: str, user_id: str = "") -> str:
    return f"{function_id}:{user_id}"


def _purpose(valves_id: str) -> str:
    return f"function valves {valves_id}"


def _schema(schema: Schema | None) -> Schema:
    if schema is None:
        message = "This function has no such settings: its code has no class Valves (or UserValves) that is a pydantic model."
        raise NotFound(message)
    return schema


def _is_secret(schema: Schema, name: str) -> bool:
    return bool(names(schema).get(name, {}).get("secret"))


def _check(schema: Schema, changes: Mapping[str, Any], whole: dict[str, Any]) -> None:
    """Raises BadRequest that names the value at fault, and never repeats it: it may be secret."""
    for name in changes:
        if name not in names(schema):
            message = f"{name}: there is no such setting. Known are: {', '.join(names(schema)) or 'none'}."
            raise BadRequest(message, param=name)
    if len(msgspec.json.encode(whole)) > MAX_BYTES:
        message = f"Settings may have {MAX_BYTES} bytes of JSON."
        raise BadRequest(message)
    for fault in faults(schema, whole):
        what = f"is not what the settings class allows ({fault.keyword})" if fault.keyword else "must be set"
        message = f"{fault.name}: {what}."
        raise BadRequest(message, param=fault.name)
