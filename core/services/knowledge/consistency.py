"""Whether knowledge bases and the vector store hold the same: both sides are counted."""

from collections import Counter
from collections.abc import AsyncIterator

import msgspec

from core.models.knowledge import FileState, KnowledgeBase, KnowledgeFile
from core.storage.knowledge import Knowledge as KnowledgeRows
from core.storage.knowledge_files import KnowledgeFiles as EntryRows
from core.storage.vectors.port import Selection, VectorSpace, VectorStore

_Place = tuple[str, int]  # an entry's id, and a generation


class BaseCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one base.

    ``files``: in it; ``chunks``: that are to be found; ``missing``: by file's name, how many of these the store does not have; ``waiting``:
    chunks of files on their way in or out; ``stale``: that nothing finds and nobody is about to take away.
    """

    id: str
    name: str
    files: int
    chunks: int
    missing: dict[str, int]
    waiting: int
    stale: int

    @property
    def is_sound(self) -> bool:
        """Whether both sides hold the same."""
        return not self.missing and not self.stale


async def compare(bases: KnowledgeRows, entries: EntryRows, store: VectorStore, *, repair: bool = False) -> AsyncIterator[BaseCheck]:
    """Each base in turn. ``repair``: what is stale is taken away. Raises Unavailable."""
    for base in await bases.all():
        yield await _compare(base, {entry.id: entry for entry in await entries.whole(base.id)}, store, repair=repair)


async def _compare(base: KnowledgeBase, entries: dict[str, KnowledgeFile], store: VectorStore, *, repair: bool) -> BaseCheck:
    spaces = {(model, size) for entry in entries.values() for model, size in entry.spaces.items()}
    if base.embedding_model and base.dimensions:
        spaces.add((base.embedding_model, base.dimensions))
    visible = {
        (entry.id, entry.generations[base.embedding_model]): entry
        for entry in entries.values()
        if not entry.removed and base.embedding_model in entry.generations
    }
    found, waiting, stale = Counter[_Place](), 0, 0
    for model, dimensions in sorted(spaces):
        space = VectorSpace(model=model, dimensions=dimensions)
        counts = Counter[_Place]()
        async for point in store.entries(space, base.id):
            counts[point.file, point.generation] += 1
        for place, count in counts.items():
            if model == base.embedding_model and place in visible:
                found[place] += count
            elif place[0] in entries and _is_on_its_way(entries[place[0]], model, base):
                waiting += count
            else:
                stale += count
                if repair:
                    await store.delete(space, Selection(collection=base.id, files=(place[0],), generation=place[1]))
    missing = Counter({entry.filename: entry.chunks - found[place] for place, entry in visible.items() if entry.chunks > found[place]})
    return BaseCheck(
        id=base.id,
        name=base.name,
        files=sum(not entry.removed for entry in entries.values()),
        chunks=sum(entry.chunks for entry in visible.values()),
        missing=dict(missing),
        waiting=waiting,
        stale=stale,
    )


def _is_on_its_way(entry: KnowledgeFile, model: str, base: KnowledgeBase) -> bool:
    is_unfinished = entry.state not in {FileState.READY, FileState.FAILED}
    return is_unfinished or not entry.cleaned or model == base.next_model
