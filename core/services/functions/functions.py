"""Functions: written, listed, shared, switched and deleted. What they do is not done here."""

import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from core.errors import BadRequest, Conflict, Forbidden, NotFound
from core.ids import new_id
from core.models.functions import CreateFunction, Definition, Function, FunctionKind, FunctionVersion, UpdateFunction
from core.models.users import Principal
from core.services.functions.rights import Rights, granted, may_use, owns
from core.storage.function_versions import FunctionVersions
from core.storage.functions import Functions as FunctionRows

MAX_PER_USER = 1_000
MAX_VERSIONS = 100

Define = Callable[[str, str], Awaitable[Definition]]
"""What reads code: its text and the function's name in, what it holds out. Raises BadRequest. The caller's own: core knows no Python."""


class Functions:
    """The service of functions. ``on_delete``: called with each function's id before it goes."""

    def __init__(self, rows: FunctionRows, versions: FunctionVersions, rights: Rights) -> None:
        self._rows = rows
        self._versions = versions
        self._rights = rights
        self.on_delete: list[Callable[[str], Awaitable[object]]] = []

    async def list(self, principal: Principal) -> Sequence[Function]:
        """Those that they may use, the last changed first. Administrators: all."""
        return await (self._rows.all() if principal.is_admin else self._rows.usable(principal.id))

    def may_edit(self, principal: Principal, function: Function) -> bool:
        """Whether they may change it, and see its code."""
        return self._rights.may_edit(principal, function)

    async def get(self, principal: Principal, function_id: str) -> Function:
        """One that they may use. Raises NotFound."""
        function = await self._rows.get(function_id)
        if function is None or not may_use(principal, function):
            raise NotFound(_NONE)
        return function

    async def get_callable(self, principal: Principal, function_id: str) -> Function:
        """The same, if it is switched on. Raises NotFound, Forbidden."""
        function = await self.get(principal, function_id)
        if not function.is_active:
            message = "This function is switched off. Switch it on first, or ask its owner to."
            raise Forbidden(message)
        return function

    async def get_editable(self, principal: Principal, function_id: str) -> Function:
        """One that they may change. Raises NotFound, and Forbidden for one that they may only use."""
        function = await self.get(principal, function_id)
        if not self._rights.may_edit(principal, function):
            self._rights.require_writer(principal)
            message = "You may use this function, but not change it. Ask its owner for write access."
            raise Forbidden(message)
        return function

    async def versions(self, principal: Principal, function_id: str) -> Sequence[FunctionVersion]:
        """What its code was, the newest first. Raises what ``get_editable`` raises."""
        function = await self.get_editable(principal, function_id)
        return [version for version in await self._versions.of_function(function.id) if version.number <= function.version]

    async def find_version(self, version_id: str) -> FunctionVersion | None:
        """For workers: the code of one version, whoever's."""
        return await self._versions.get(version_id)

    async def create(self, principal: Principal, command: CreateFunction, define: Define) -> Function:
        """A new one, theirs. Raises BadRequest, Forbidden."""
        self._rights.require_writer(principal)
        _check_name(command.name)
        if len(await self._rows.owned(principal.id)) >= MAX_PER_USER:
            message = f"You have {MAX_PER_USER} functions, which is the limit. Delete one first."
            raise BadRequest(message)
        definition = await define(command.content, command.name)
        if command.type not in {FunctionKind.FUNCTION, definition.kind}:
            message = f"type: the code holds a {definition.kind}, not a {command.type}. Leave it out: the code says it."
            raise BadRequest(message, param="type")
        now = int(time.time())
        function = Function(
            id=new_id(),
            user_id=principal.id,
            name=command.name,
            type=definition.kind,
            content=command.content,
            definition=definition,
            meta=command.meta,
            access_control=command.access_control,
            hosts=granted(principal, command.hosts),
            version_id=new_id(),
            created_at=now,
            updated_at=now,
        )
        await self._versions.insert(_version(principal, function))
        await self._rows.insert(function)
        return function

    async def update(self, principal: Principal, command: UpdateFunction, define: Define) -> Function:
        """Change one; other code makes another version, and calls that have begun keep theirs.

        Raises what ``get_editable`` raises, BadRequest, Forbidden where somebody else than the owner changes who may use it, or than an
        administrator adds hosts, and Conflict where somebody was quicker.
        """
        function = await self.get_editable(principal, command.id)
        given = {name: value for name, value in msgspec.structs.asdict(command).items() if value is not msgspec.UNSET}
        changed = msgspec.structs.replace(function, **given, updated_at=int(time.time()))
        if changed.access_control != function.access_control and not owns(principal, function):
            message = "Only the owner of a function and administrators decide who may use it. Leave access_control as it is."
            raise Forbidden(message)
        _check_name(changed.name)
        changed = msgspec.structs.replace(changed, hosts=granted(principal, changed.hosts, function.hosts))
        if changed.content != function.content:
            definition = await define(changed.content, changed.name)
            changed = msgspec.structs.replace(
                changed, type=definition.kind, definition=definition, version=function.version + 1, version_id=new_id()
            )
            await self._versions.insert(_version(principal, changed))
        if not await self._rows.put(changed, over=function.version_id, with_hosts=changed.hosts != function.hosts):
            if changed.version_id != function.version_id:
                await self._versions.remove(changed.version_id)
            message = "Somebody else has changed this function meanwhile. Get it again, and change that."
            raise Conflict(message)
        await self._forget_old(changed)
        return changed

    async def toggle(self, principal: Principal, function_id: str) -> Function:
        """Switch one on or off. Raises what ``get_editable`` raises."""
        function = await self.get_editable(principal, function_id)
        return await self._switch(function, is_active=not function.is_active)

    async def toggle_global(self, principal: Principal, function_id: str) -> Function:
        """Let everybody use one, or no longer. Raises NotFound, and Forbidden for all but administrators."""
        function = await self.get(principal, function_id)
        if not principal.is_admin:
            message = "Only administrators may do this: it decides for everybody. Share it with single users by access_control."
            raise Forbidden(message)
        return await self._switch(function, is_global=not function.is_global)

    async def delete(self, principal: Principal, function_id: str) -> None:
        """Take one away with its versions and settings. Raises what ``get_editable`` raises, and Forbidden for another's."""
        function = await self.get_editable(principal, function_id)
        if not owns(principal, function):
            message = "Only its owner and administrators may delete a function."
            raise Forbidden(message)
        await self._remove(function.id)

    async def remove_user(self, user_id: str) -> None:
        """Take away all of a user's."""
        for function in await self._rows.owned(user_id):
            await self._remove(function.id)

    async def _switch(self, function: Function, **switches: bool) -> Function:
        if not await self._rows.switch(function.id, **switches):
            raise NotFound(_NONE)
        return msgspec.structs.replace(function, **switches)

    async def _forget_old(self, function: Function) -> None:
        if function.version > MAX_VERSIONS:
            kept = await self._versions.of_function(function.id)
            if old := [version.id for version in kept if version.number <= function.version - MAX_VERSIONS]:
                await self._versions.remove(*old)

    async def _remove(self, function_id: str) -> None:
        for forget in self.on_delete:
            await forget(function_id)
        await self._rows.remove(function_id)
        await self._versions.remove_function(function_id)


_NONE = "There is no such function. It may have been deleted, or belong to somebody else."


def _version(principal: Principal, function: Function) -> FunctionVersion:
    return FunctionVersion(
        id=function.version_id,
        function_id=function.id,
        number=function.version,
        content=function.content,
        definition=function.definition,
        user_id=principal.id,
        created_at=function.updated_at,
    )


def _check_name(name: str) -> None:
    if not name.strip():
        message = "name: must have a character that can be seen."
        raise BadRequest(message, param="name")
