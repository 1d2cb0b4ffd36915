"""Files in knowledge bases: added, replaced, followed, indexed again and taken out."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from core.errors import BadRequest, Conflict, NotFound
from core.ids import new_id
from core.models.files import File
from core.models.knowledge import PATH_KEY, FileState, KnowledgeBase, KnowledgeFile
from core.models.users import Principal
from core.services.files.files import Files
from core.services.knowledge.bases import KnowledgeBases
from core.services.knowledge.indexing import Indexing, job_id_of
from core.storage.knowledge import Knowledge as KnowledgeRows
from core.storage.knowledge_files import KnowledgeFiles as EntryRows

_NOT_IN = "This file is not in this knowledge base. Look at GET /api/knowledge/{id} for those that are."


class KnowledgeFiles:
    """The service of entries. What can be found of an entry changes at once when its row does; the vector store follows."""

    def __init__(
        self,
        *,
        rows: EntryRows,
        base_rows: KnowledgeRows,
        bases: KnowledgeBases,
        files: Files,
        indexing: Indexing,
    ) -> None:
        self._rows = rows
        self._base_rows = base_rows
        self._bases = bases
        self._files = files
        self._indexing = indexing

    async def file_ids(self, bases: Sequence[KnowledgeBase]) -> dict[str, list[str]]:
        """By base, the files in it."""
        found: dict[str, list[str]] = {base.id: [] for base in bases}
        for place in await self._rows.places(tuple(found)):
            found[place.knowledge_id].append(place.file_id)
        return found

    async def find_base(self, file_id: str) -> KnowledgeBase | None:
        """For workers: one of the bases in which a file can be found now, if there is any."""
        for entry in await self._rows.of_file(file_id):
            base = await self._bases.find(entry.knowledge_id) if entry.generations else None
            if base and base.embedding_model in entry.generations:
                return base
        return None

    async def list(self, base: KnowledgeBase, state: FileState | None = None) -> Sequence[KnowledgeFile]:
        """Those of a base that may be read, as they were added."""
        return await self._rows.of_base(base.id, state)

    async def page(self, base: KnowledgeBase, after: str | None, limit: int) -> Sequence[KnowledgeFile]:
        """So many behind one of them, as they were added. Raises BadRequest for an ``after`` that was never there."""
        place = None if after is None else await self._rows.get(after)
        if after is not None and (place is None or place.knowledge_id != base.id):
            message = "after: there is no such file in this list. Send the id of the last one you saw, or nothing."
            raise BadRequest(message, param="after")
        return await self._rows.page(base.id, place, limit)

    async def wait(self, entry: KnowledgeFile) -> KnowledgeFile:
        """Until a revision is ready or has failed. Raises NotFound where it is taken out meanwhile."""
        async with aclosing(self._indexing.follow(entry)) as news:
            async for _ in news:
                found = await self._rows.get(entry.id)
                if found is None or found.removed or found.revision != entry.revision or found.state.ended:
                    break
        found = await self._rows.get(entry.id)
        if found is None or found.removed:
            raise NotFound(_NOT_IN)
        return found

    async def add(self, principal: Principal, knowledge_id: str, file_ids: Sequence[str]) -> Sequence[KnowledgeFile]:
        """Have files of theirs indexed, also those that are still being read. What is there already stays; what failed is begun again.

        Raises NotFound for a base or file, before anything is added, and Forbidden.
        """
        base = await self._bases.get_writable(principal, knowledge_id)
        wanted = list(dict.fromkeys(file_ids))
        files = await self._files.get_several(principal, wanted)
        return [await self._add(principal, base, files[file_id]) for file_id in wanted]

    async def put(self, principal: Principal, knowledge_id: str, path: str, file_id: str) -> KnowledgeFile:
        """Have a file of theirs indexed in the place of what was there under the same path, which can be found until then.

        Raises NotFound for the base or file, and Forbidden.
        """
        base = await self._bases.get_writable(principal, knowledge_id)
        return await self._put(principal, base, await self._files.get(principal, file_id), PATH_KEY + path)

    async def remove(self, principal: Principal, knowledge_id: str, file_id: str) -> KnowledgeBase:
        """Take a file out of a base; itself it stays. Raises NotFound, Forbidden."""
        base = await self._bases.get_writable(principal, knowledge_id)
        entries = [entry for entry in await self._rows.of_file(file_id) if entry.knowledge_id == base.id]
        if not entries:
            raise NotFound(_NOT_IN)
        for entry in entries:
            await self._remove(entry)
        return base

    async def remove_all(self, base: KnowledgeBase) -> None:
        """Take all files out of a base."""
        for entry in await self._rows.of_base(base.id):
            await self._remove(entry)

    def job_id_of(self, entry: KnowledgeFile) -> str:
        """The job that indexes a revision."""
        return job_id_of(entry)

    async def forget(self, file: File) -> None:
        """A file goes: out of every base."""
        for entry in await self._rows.of_file(file.id):
            await self._remove(entry)

    async def find(self, entry_id: str) -> KnowledgeFile | None:
        """For workers: one, whoever's."""
        return await self._rows.get(entry_id)

    async def set_state(self, entry: KnowledgeFile, state: FileState, error: str | None = None) -> bool:
        """For workers: how far a revision is, or why it failed; whether it is still wanted."""
        return await self._rows.update(entry, state=state.value, error=error, waiting=None, updated_at=_now())

    async def set_waiting(self, entry: KnowledgeFile, why: str | None) -> None:
        """For workers: what is wanting for a revision to go on; None: nothing any more."""
        await self._rows.update(entry, waiting=why)

    async def note_space(self, entry: KnowledgeFile, model: str, dimensions: int) -> None:
        """For workers: before anything of an entry is written there."""
        if entry.spaces.get(model) != dimensions:
            await self._rows.update(entry, spaces=entry.spaces | {model: dimensions})

    async def publish(self, entry: KnowledgeFile, model: str, *, chunks: int, pages: int | None) -> bool:
        """For workers: what was indexed of a revision takes the place of what was there before; whether it is still wanted."""
        changes: dict[str, Any] = {
            "generations": entry.generations | {model: entry.revision},
            "chunks": chunks,
            "pages": pages,
            "state": FileState.READY.value,
            "error": None,
            "waiting": None,
            "cleaned": False,
            "updated_at": _now(),
        }
        published = await self._rows.update(entry, **changes)
        await self._base_rows.set_version(entry.knowledge_id, new_id())
        return published

    async def settle(self, knowledge_id: str) -> None:
        """For workers: where all files have another model's vectors now, or have failed at that, those are searched from now on."""
        base = await self._base_rows.get(knowledge_id)
        if base is None or not base.next_model:
            return
        if await self._rows.count_unfinished(base.id):
            return
        entries = await self._rows.of_base(base.id)
        dimensions = max((entry.spaces.get(base.next_model, 0) for entry in entries), default=0)
        changed = await self._base_rows.set_models(base, embedding_model=base.next_model, next_model="", dimensions=dimensions)
        await self._base_rows.set_version(base.id, new_id())
        for entry in entries if changed else ():
            await self._rows.update(entry, cleaned=False, updated_at=_now())  # queries that began before still read the others

    async def move_to(self, base: KnowledgeBase, model: str) -> None:
        """From now on files of a base are indexed with a model, which takes over when all are."""
        if base.embedding_model not in {"", model} or base.next_model:
            await self._base_rows.set_models(base, next_model=model if model != base.embedding_model else "")

    async def choose_model(self, base: KnowledgeBase, model_id: str) -> str:
        """For workers: the model of a base that has none; somebody else's choice where they were faster."""
        await self._base_rows.set_models(base, embedding_model=model_id)
        found = await self._base_rows.get(base.id)
        return found.embedding_model if found and found.embedding_model else model_id

    async def set_dimensions(self, knowledge_id: str, dimensions: int) -> None:
        """For workers: how long the vectors of a base are, where that was not known."""
        base = await self._base_rows.get(knowledge_id)
        if base and not base.dimensions:
            await self._base_rows.set_models(base, dimensions=dimensions)

    async def _add(self, principal: Principal, base: KnowledgeBase, file: File) -> KnowledgeFile:
        """Unless it is in the base already, under whatever key."""
        there = next((entry for entry in await self._rows.of_file(file.id) if entry.knowledge_id == base.id), None)
        return await self._put(principal, base, file, there.key if there else f"file:{file.id}")

    async def _put(self, principal: Principal, base: KnowledgeBase, file: File, key: str) -> KnowledgeFile:
        known = await self._rows.by_key(base.id, key)
        if known is None:
            now = _now()
            entry = KnowledgeFile(
                id=new_id(),
                knowledge_id=base.id,
                key=key,
                user_id=principal.id,
                created_at=now,
                updated_at=now,
                **describe(file),
            )
            try:
                await self._rows.insert(entry)
            except Conflict:  # somebody else was faster
                return await self._put(principal, base, file, key)
            await self._indexing.begin(entry)
            return entry
        if known.file_id == file.id:
            return await self._begin_again(known) if known.state is FileState.FAILED else known
        return await self._begin_again(known, file)

    async def _begin_again(self, entry: KnowledgeFile, file: File | None = None) -> KnowledgeFile:
        begun = await self.renew(entry, file)
        if begun.revision == entry.revision + 1 and begun.job_id is None:
            await self._indexing.begin(begun)
        return begun

    async def renew(
        self, entry: KnowledgeFile, file: File | None = None, *, managed: bool = False, job_id: str | None = None, item: int = 0
    ) -> KnowledgeFile:
        """Write down another revision of an entry, with another ``file`` where one is given, to be begun by whoever calls this.

        A file that could not be read is read again. Where somebody else was faster, theirs.
        """
        changes: dict[str, Any] = {
            "revision": entry.revision + 1,
            "state": FileState.QUEUED.value,
            "error": None,
            "waiting": None,
            "job_id": job_id,
            "item": item,
            "updated_at": _now(),
        }
        if file and file.id != entry.file_id:
            changes |= {**describe(file), "managed": managed, "replaced_file_id": _found_now(entry)}
            changes["obsolete"] = (*entry.obsolete, entry.file_id) if entry.managed else entry.obsolete
        if not await self._rows.update(entry, **changes):
            return await self._rows.get(entry.id) or entry
        if not entry.state.ended:
            await self._indexing.stop(entry)
        begun = await self._rows.get(entry.id) or entry
        await self._files.begin_again(begun.file_id)
        return begun

    async def _remove(self, entry: KnowledgeFile) -> None:
        """It is found no more from now on; its passages go later, when no query can be reading them."""
        changes = {"removed": True, "cleaned": False, "key": f"removed:{entry.id}", "revision": entry.revision + 1, "updated_at": _now()}
        while not await self._rows.update(entry, **changes):
            found = await self._rows.get(entry.id)
            if found is None or found.removed:
                return
            entry = found
            changes["revision"] = entry.revision + 1
        await self._base_rows.set_version(entry.knowledge_id, new_id())
        await self._indexing.stop(entry)


def describe(file: File) -> dict[str, Any]:
    """What an entry says of its file."""
    return {
        "file_id": file.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "size": file.size,
        "hash": file.hash,
        "metadata": file.metadata,
    }


def _found_now(entry: KnowledgeFile) -> str | None:
    """The file that can be found in an entry's place: not one that never became ready."""
    return entry.file_id if entry.state is FileState.READY or not entry.generations else entry.replaced_file_id


def _now() -> int:
    return int(time.time())
