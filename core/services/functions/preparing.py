"""What a worker needs for a call of a function: the code as it was when the call was asked for, settings, and on whose behalf it is."""

from typing import Any

import msgspec

from core.errors import BadRequest, NotFound
from core.models.function_calls import CallFunction
from core.models.functions import FunctionEntry, FunctionKind
from core.models.users import User
from core.services.functions.checking import is_reserved
from core.services.functions.valves import FunctionValves
from core.storage.function_versions import FunctionVersions
from core.storage.functions import Functions as FunctionRows
from core.storage.users import Users as UserRows

CLASSES = {FunctionKind.TOOLS: "Tools", FunctionKind.PIPE: "Pipe", FunctionKind.FILTER: "Filter", FunctionKind.ACTION: "Action"}


class PreparedCall(msgspec.Struct, frozen=True, kw_only=True):
    """``callable``: a function's name, or ``Class.method``. ``valves``, ``user_valves``: None where the code has no class for them.

    ``injected``: the parameters that the product fills in. ``hosts``: what the function may reach now. There may be secrets in it: it goes
    nowhere but into the call.
    """

    code: str
    callable: str
    valves: dict[str, Any] | None
    user_valves: dict[str, Any] | None
    injected: dict[str, Any]
    hosts: tuple[str, ...]

    def __repr__(self) -> str:
        """Without what must not reach a log."""
        return f"PreparedCall({self.callable})"


class Preparation:
    """The only place where secret settings are decrypted for a call."""

    def __init__(self, rows: FunctionRows, versions: FunctionVersions, valves: FunctionValves, users: UserRows) -> None:
        self._rows = rows
        self._versions = versions
        self._valves = valves
        self._users = users

    async def prepare(self, call: CallFunction) -> PreparedCall:
        """Raises NotFound for what was deleted meanwhile, Unavailable where settings cannot be decrypted.

        And BadRequest for what only the product says, whoever asks: a person or a model.
        """
        if said := [name for name in call.arguments if is_reserved(name)]:
            message = f"args: not known: {', '.join(said)}."
            raise BadRequest(message, param="args")
        function = await self._rows.get(call.function_id)
        version = await self._versions.get(call.version_id)
        user = await self._users.get(call.user_id)
        definition = version.definition if version else None
        entry = next((one for one in definition.entries if one.name == call.entry), None) if definition else None
        if function is None or version is None or version.function_id != function.id or definition is None or entry is None or user is None:
            message = "The function was deleted before it was called."
            raise NotFound(message)
        valves, user_valves = await self._valves.for_call(msgspec.structs.replace(function, definition=definition), user.id)
        owner = CLASSES.get(definition.kind)
        return PreparedCall(
            code=version.content,
            callable=f"{owner}.{entry.name}" if owner else entry.name,
            valves=None if definition.valves is None else valves,
            user_valves=None if definition.user_valves is None else user_valves,
            injected=_injected(entry, user, function.id),
            hosts=function.hosts,
        )


def _injected(entry: FunctionEntry, user: User, function_id: str) -> dict[str, Any]:
    """What Open WebUI's tools expect; None for what there is not here."""
    known: dict[str, Any] = {
        "__id__": function_id,
        "__user__": {"id": user.id, "name": user.name, "email": user.email, "role": user.role},
    }
    return {name: known.get(name) for name in entry.injected}
