"""Knowledge bases: made, listed, shared, changed and deleted."""

import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from core.errors import BadRequest, Forbidden, NotFound
from core.ids import new_id
from core.models.knowledge import Chunking, CreateKnowledge, KnowledgeBase, UpdateKnowledge
from core.models.users import Principal
from core.storage.knowledge import Knowledge as KnowledgeRows

MAX_PER_USER = 1_000

_NONE = "There is no such knowledge base. It may have been deleted, or belong to somebody else."


class KnowledgeBases:
    """The service of bases. ``on_delete``: called with each base before it goes."""

    def __init__(self, rows: KnowledgeRows) -> None:
        self._rows = rows
        self.on_delete: list[Callable[[KnowledgeBase], Awaitable[object]]] = []

    async def list(self, principal: Principal, *, writable: bool = False) -> Sequence[KnowledgeBase]:
        """Those that they may read, or write; the last changed first. Administrators: all."""
        found = await (self._rows.all() if principal.is_admin else self._rows.readable(principal.id))
        return [base for base in found if not writable or may_write(principal, base)]

    async def get(self, principal: Principal, knowledge_id: str) -> KnowledgeBase:
        """One that they may read. Raises NotFound."""
        base = await self._rows.get(knowledge_id)
        if base is None or not may_read(principal, base):
            raise NotFound(_NONE)
        return base

    async def get_writable(self, principal: Principal, knowledge_id: str) -> KnowledgeBase:
        """One whose files they may change. Raises NotFound, and Forbidden for one that they may only read."""
        base = await self.get(principal, knowledge_id)
        if not may_write(principal, base):
            message = "You may read this knowledge base, but not change it. Ask its owner for write access."
            raise Forbidden(message)
        return base

    async def get_several(self, principal: Principal, knowledge_ids: Sequence[str]) -> Sequence[KnowledgeBase]:
        """Some, each once, in this order. Raises Forbidden where one of them is not there or not theirs to read: the two are told alike."""
        wanted = tuple(dict.fromkeys(knowledge_ids))
        found = {base.id: base for base in await self._rows.of_ids(wanted) if may_read(principal, base)}
        for knowledge_id in wanted:
            if knowledge_id not in found:
                message = f"You may not read the knowledge base {knowledge_id!r}, or it does not exist."
                raise Forbidden(message)
        return [found[knowledge_id] for knowledge_id in wanted]

    async def find(self, knowledge_id: str) -> KnowledgeBase | None:
        """For workers: one, whoever's."""
        return await self._rows.get(knowledge_id)

    async def find_several(self, knowledge_ids: Sequence[str]) -> Sequence[KnowledgeBase]:
        """For workers: some, whoever's, in this order. Raises NotFound where one of them is gone."""
        found = {base.id: base for base in await self._rows.of_ids(tuple(knowledge_ids))}
        if gone := [knowledge_id for knowledge_id in knowledge_ids if knowledge_id not in found]:
            message = f"The knowledge base {gone[0]!r} was deleted before it was looked through. Ask again without it."
            raise NotFound(message)
        return [found[knowledge_id] for knowledge_id in knowledge_ids]

    async def create(self, principal: Principal, command: CreateKnowledge) -> KnowledgeBase:
        """A new one, theirs. Raises BadRequest."""
        _check(command.name, command.chunking)
        if len(await self._rows.owned(principal.id)) >= MAX_PER_USER:
            message = f"You have {MAX_PER_USER} knowledge bases, which is the limit. Delete one first."
            raise BadRequest(message)
        now = int(time.time())
        base = KnowledgeBase(
            id=new_id(), user_id=principal.id, created_at=now, updated_at=now, version=new_id(), **msgspec.structs.asdict(command)
        )
        await self._rows.insert(base)
        return base

    async def update(self, principal: Principal, knowledge_id: str, changes: UpdateKnowledge) -> KnowledgeBase:
        """Change one. Raises what ``get_writable`` raises, Forbidden where somebody else changes who may read it, and BadRequest."""
        base = await self.get_writable(principal, knowledge_id)
        given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not msgspec.UNSET}
        changed = msgspec.structs.replace(base, **given, updated_at=int(time.time()))
        if changed.access_control != base.access_control and not _owns(principal, base):
            message = "Only the owner of a knowledge base and administrators decide who may use it. Leave access_control as it is."
            raise Forbidden(message)
        _check(changed.name, changed.chunking)
        if not await self._rows.put(changed):
            raise NotFound(_NONE)
        return changed

    async def delete(self, principal: Principal, knowledge_id: str) -> None:
        """Take one away, with what is known of its files; the files themselves stay. Raises NotFound, Forbidden."""
        base = await self.get_writable(principal, knowledge_id)
        if not _owns(principal, base):
            message = "Only its owner and administrators may delete a knowledge base."
            raise Forbidden(message)
        await self._remove(base)

    async def remove_user(self, user_id: str) -> None:
        """Take away all of a user's."""
        for base in await self._rows.owned(user_id):
            await self._remove(base)

    async def _remove(self, base: KnowledgeBase) -> None:
        """What is in it first, and once more for what came meanwhile: what breaks off in the middle can be asked for again."""
        for forget in self.on_delete:
            await forget(base)
        await self._rows.remove(base.id)
        for forget in self.on_delete:
            await forget(base)


def may_read(principal: Principal, base: KnowledgeBase) -> bool:
    """Whether they may look for passages in it."""
    control = base.access_control
    return control is None or _owns(principal, base) or principal.id in {*control.read.user_ids, *control.write.user_ids}


def may_write(principal: Principal, base: KnowledgeBase) -> bool:
    """Whether they may change its files."""
    control = base.access_control
    return _owns(principal, base) or (control is not None and principal.id in control.write.user_ids)


def _owns(principal: Principal, base: KnowledgeBase) -> bool:
    return principal.is_admin or base.user_id == principal.id


def _check(name: str, chunking: Chunking) -> None:
    if not name.strip():
        message = "name: must have a character that can be seen."
        raise BadRequest(message, param="name")
    if chunking.overlap_tokens * 2 > chunking.max_tokens:
        message = "chunking.overlap_tokens: must be at most half of max_tokens."
        raise BadRequest(message, param="chunking.overlap_tokens")
