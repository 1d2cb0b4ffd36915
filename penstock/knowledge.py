"""Counts what knowledge bases and the vector store hold, and says where they differ."""

import asyncio
import sys

from core.services.knowledge.consistency import BaseCheck, compare
from core.settings import Settings
from core.storage import open_records
from core.storage.knowledge import Knowledge as KnowledgeRows
from core.storage.knowledge_files import KnowledgeFiles as EntryRows
from core.storage.vectors import open_vectors


def check(settings: Settings, *, repair: bool) -> bool:
    """Print a line for each base; whether all are sound. ``repair``: what is stale is taken away. Raises PenstockError."""
    return asyncio.run(_check(settings, repair=repair))


async def _check(settings: Settings, *, repair: bool) -> bool:
    is_sound, count = True, 0
    async with open_records(settings) as records, open_vectors(settings) as store:
        async for base in compare(KnowledgeRows(records), EntryRows(records), store, repair=repair):
            count += 1
            is_sound = is_sound and (not base.missing and (repair or not base.stale))
            sys.stdout.write(_line(base, repair=repair))
    if not count:
        sys.stdout.write("There are no knowledge bases.\n")
    return is_sound


def _line(base: BaseCheck, *, repair: bool) -> str:
    faults = [f"{count} chunks of {name} are missing: index the base anew" for name, count in base.missing.items()]
    if base.stale:
        what = "were taken away" if repair else "can be taken away: penstock doctor --knowledge --repair"
        faults.append(f"{base.stale} chunks that nothing finds {what}")
    counts = f"{base.files} files, {base.chunks} chunks" + (f", {base.waiting} on their way" if base.waiting else "")
    mark = "ok     " if base.is_sound else "faulty "
    return f"{mark}  {base.name} ({base.id}): {'; '.join([counts, *faults])}\n"
