"""Functions as they are now."""

from core.models.functions import Function
from core.storage.records.port import KEY, Collection, Contains, Filter, Index, Order, Record, Records, to_record

COLLECTION = Collection(
    "functions", indexes=(Index(("user_id",)), Index(("is_global",))), opaque=("definition", "meta", "access_control", "hosts")
)

_NEWEST_FIRST = Order("updated_at", descending=True)


class Functions:
    """Rows of functions."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, function_id: str) -> Function | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, function_id, Function)

    async def all(self) -> list[Function]:
        """All, the last changed first."""
        return await self._find({})

    async def usable(self, user_id: str) -> list[Function]:
        """A user's own, those shared with them, and the global ones; the last changed first."""
        found: dict[str, Function] = {}
        for where in ({"user_id": user_id}, {"readers": Contains(_word(user_id))}, {"is_global": True}):
            found |= {function.id: function for function in await self._find(where)}
        return sorted(found.values(), key=lambda function: (-function.updated_at, function.id))

    async def owned(self, user_id: str) -> list[Function]:
        """A user's own."""
        return await self._find({"user_id": user_id})

    async def insert(self, function: Function) -> None:
        """Add one."""
        await self._records.insert(COLLECTION, [to_record(function, readers=_readers(function))])

    async def put(self, function: Function, *, over: str, with_hosts: bool) -> bool:
        """Write what its author decides over the version of that id; whether that is still the one that is there.

        ``with_hosts``: these, too. Whoever leaves them alone must not write back what an administrator has just taken away.
        """
        decided: Record = {
            "name": function.name,
            "type": function.type,
            "content": function.content,
            "definition": function.definition,
            "meta": function.meta,
            "access_control": function.access_control,
            "version": function.version,
            "version_id": function.version_id,
            "updated_at": function.updated_at,
            "readers": _readers(function),
        }
        if with_hosts:
            decided["hosts"] = function.hosts
        return await self._records.update(COLLECTION, function.id, decided, where={"version_id": over})

    async def switch(self, function_id: str, **switches: bool) -> bool:
        """Set ``is_active`` or ``is_global``; whether it is there."""
        return await self._records.update(COLLECTION, function_id, dict(switches))

    async def remove(self, function_id: str) -> bool:
        """Take it away; whether it was there."""
        return bool(await self._records.delete(COLLECTION, {KEY: function_id}))

    async def _find(self, where: Filter) -> list[Function]:
        return await self._records.find(COLLECTION, where, Function, order=_NEWEST_FIRST)


def _readers(function: Function) -> str:
    """All who share it, as one text to look in."""
    control = function.access_control
    return "".join(map(_word, (*control.read.user_ids, *control.write.user_ids)))


def _word(user_id: str) -> str:
    return f" {user_id} "
