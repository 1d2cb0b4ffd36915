"""What can be found in a base now: which files, each in which generation."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from core.models.knowledge import KnowledgeBase, KnowledgeFile
from core.storage.knowledge_files import KnowledgeFiles as EntryRows

WHOLE_S = 30.0
SKEW_S = 10
KEPT = 200

REMOVED_S = 120
"""So long a removed entry's row must stay: longer than WHOLE_S and SKEW_S, so that whoever knows it hears that it is gone."""


class _Known(msgspec.Struct):
    """Of one base. ``version``: its own when this was read; ``whole_at``: when all was read; ``seen``: the newest change.

    ``all``: what can be found with the vectors of ``model``.
    """

    version: str
    whole_at: float
    seen: int
    entries: dict[str, KnowledgeFile]
    model: str = ""
    all: dict[str, int] = {}


class Visibility:
    """Kept in each process for as long as a base's version is the same; then what has changed is read, and now and then all of it."""

    def __init__(self, rows: EntryRows) -> None:
        self._rows = rows
        self._known: dict[str, _Known] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    async def of(
        self, base: KnowledgeBase, *, file_ids: Sequence[str] | None = None, where: dict[str, Any] | None = None
    ) -> dict[str, int]:
        """By entry, the generation that can be found. ``file_ids``: only of these files; ``where``: only where their metadata says this."""
        known = await self._of(base)
        if known.model != base.embedding_model:
            known.model, known.all = base.embedding_model, _generations(known.entries.values(), base.embedding_model)
        if file_ids is None and not where:
            return known.all
        wanted = None if file_ids is None else set(file_ids)
        return {
            entry_id: generation
            for entry_id, generation in known.all.items()
            if (wanted is None or known.entries[entry_id].file_id in wanted) and _says(known.entries[entry_id], where or {})
        }

    async def _of(self, base: KnowledgeBase) -> _Known:
        async with self._reading.setdefault(base.id, asyncio.Lock()):
            known, now = self._known.pop(base.id, None), time.monotonic()
            if known is None or now - known.whole_at >= WHOLE_S:
                found = await self._rows.of_base(base.id)
                known = _Known(base.version, now, _newest(found), {entry.id: entry for entry in found})
            elif known.version != base.version:
                found = await self._rows.changed(base.id, known.seen - SKEW_S)
                known.entries |= {entry.id: entry for entry in found}
                for entry in found:
                    if entry.removed:
                        del known.entries[entry.id]
                known.version, known.seen, known.model = base.version, max(known.seen, _newest(found)), ""
            self._known[base.id] = known  # last, so that it stays longest
            while len(self._known) > KEPT:
                gone = next(iter(self._known))
                del self._known[gone]
                self._reading.pop(gone, None)
            return known


def _generations(entries: Iterable[KnowledgeFile], model: str) -> dict[str, int]:
    return {entry.id: generation for entry in entries if (generation := entry.generations.get(model))}


def _says(entry: KnowledgeFile, where: dict[str, Any]) -> bool:
    return all(entry.metadata.get(name) == value for name, value in where.items())


def _newest(entries: Sequence[KnowledgeFile]) -> int:
    return max((entry.updated_at for entry in entries), default=0)
