"""Functions called by hand, to see what they do."""

from collections.abc import Mapping
from typing import Any

from core.errors import BadRequest
from core.models.function_calls import CallFunction, FunctionOutcome, TryFunction
from core.models.functions import Definition, FunctionEntry
from core.models.users import Principal
from core.services.functions.calls import FunctionCalls
from core.services.functions.checking import faults, is_reserved, names
from core.services.functions.functions import Functions


class Trials:
    """The service of such calls."""

    def __init__(self, functions: Functions, calls: FunctionCalls) -> None:
        self._functions = functions
        self._calls = calls

    async def make(self, principal: Principal, function_id: str, command: TryFunction) -> FunctionOutcome:
        """What becomes of a call. What the code itself does wrong is in the outcome.

        Raises NotFound, Forbidden for a function that is switched off, BadRequest that names the arguments at fault, and Unavailable where
        no worker can make the call.
        """
        function = await self._functions.get_callable(principal, function_id)
        entry = _choose(function.definition, command.entry)
        check_arguments(entry, command.args)
        call = CallFunction(
            function_id=function.id, version_id=function.version_id, entry=entry.name, arguments=command.args, user_id=principal.id
        )
        return await self._calls.run(call)


def check_arguments(entry: FunctionEntry, arguments: Mapping[str, Any]) -> None:
    """Raises BadRequest that names all arguments that are missing, unknown or wrong."""
    schema = entry.parameters
    # ``**kwargs`` takes any name but the product's own: ``__user__`` says on whose behalf a call is, so no caller may say it.
    anything = schema.get("additionalProperties", True)
    unknown = [name for name in arguments if name not in names(schema) and (not anything or is_reserved(name))]
    found = faults(schema, arguments)
    missing = [fault.name for fault in found if not fault.keyword]
    wrong = [f"{fault.name} ({fault.keyword})" for fault in found if fault.keyword and fault.name not in unknown]
    said = [
        *([f"must be given: {', '.join(missing)}"] if missing else []),
        *([f"not known: {', '.join(unknown)}"] if unknown else []),
        *([f"not what {entry.name} takes: {', '.join(wrong)}"] if wrong else []),
    ]
    if said:
        message = f"args: {'; '.join(said)}."
        raise BadRequest(message, param="args")


def _choose(definition: Definition, name: str | None) -> FunctionEntry:
    known = {entry.name: entry for entry in definition.entries}
    if name is None and len(known) == 1:
        return definition.entries[0]
    if name not in known:
        what = "this function has several things to call" if name is None else "there is none of this name"
        message = f"entry: {what}. Say which: {', '.join(known)}."
        raise BadRequest(message, param="entry")
    return known[name]
