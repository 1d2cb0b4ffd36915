"""Knowledge bases. Their passages are in core.storage.vectors, in a collection of the same id."""

from core.models.knowledge import PUBLIC, KnowledgeBase
from core.storage.records.port import KEY, Collection, Contains, Filter, In, Index, Order, Record, Records, to_record

COLLECTION = Collection("knowledge", indexes=(Index(("user_id",)),), opaque=("meta", "access_control", "chunking"))

_NEWEST_FIRST = Order("updated_at", descending=True)


class Knowledge:
    """Rows of bases."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, knowledge_id: str) -> KnowledgeBase | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, knowledge_id, KnowledgeBase)

    async def of_ids(self, knowledge_ids: tuple[str, ...]) -> list[KnowledgeBase]:
        """Those that there are of these."""
        return await self._records.find(COLLECTION, {KEY: In(knowledge_ids)}, KnowledgeBase)

    async def all(self) -> list[KnowledgeBase]:
        """All, the last changed first."""
        return await self._find({})

    async def readable(self, user_id: str) -> list[KnowledgeBase]:
        """A user's own, and what others let them or everybody read; the last changed first."""
        found: dict[str, KnowledgeBase] = {}
        for where in ({"user_id": user_id}, {"readers": Contains(_word(user_id))}, {"readers": Contains(_word(PUBLIC))}):
            found |= {base.id: base for base in await self._find(where)}
        return sorted(found.values(), key=lambda base: (-base.updated_at, base.id))

    async def owned(self, user_id: str) -> list[KnowledgeBase]:
        """A user's own."""
        return await self._find({"user_id": user_id})

    async def insert(self, base: KnowledgeBase) -> None:
        """Add one."""
        await self._records.insert(COLLECTION, [to_record(base, readers=_readers(base))])

    async def put(self, base: KnowledgeBase) -> bool:
        """Write what its owner decides; whether it is there."""
        decided: Record = {
            "name": base.name,
            "description": base.description,
            "access_control": base.access_control,
            "chunking": base.chunking,
            "meta": base.meta,
            "updated_at": base.updated_at,
            "readers": _readers(base),
        }
        return await self._records.update(COLLECTION, base.id, decided)

    async def set_version(self, knowledge_id: str, version: str) -> None:
        """What can be found in it has changed."""
        await self._records.update(COLLECTION, knowledge_id, {"version": version})

    async def set_models(self, base: KnowledgeBase, **changes: str | int) -> bool:
        """Change ``embedding_model``, ``dimensions`` or ``next_model``, unless somebody else has; whether that was done."""
        known: Filter = {"embedding_model": base.embedding_model, "dimensions": base.dimensions, "next_model": base.next_model}
        return await self._records.update(COLLECTION, base.id, dict(changes), where=known)

    async def remove(self, knowledge_id: str) -> bool:
        """Take it away; whether it was there."""
        return bool(await self._records.delete(COLLECTION, {KEY: knowledge_id}))

    async def _find(self, where: Filter) -> list[KnowledgeBase]:
        return await self._records.find(COLLECTION, where, KnowledgeBase, order=_NEWEST_FIRST)


def _readers(base: KnowledgeBase) -> str:
    """All who may read it beside its owner, as one text to look in."""
    control = base.access_control
    users = [PUBLIC] if control is None else [*control.read.user_ids, *control.write.user_ids]
    return "".join(map(_word, users))


def _word(user_id: str) -> str:
    return f" {user_id} "
