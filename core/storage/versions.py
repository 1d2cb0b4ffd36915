"""The store's version: rows as earlier builds stored them are brought up to date once, before anything else is done.

The store keeps a note of its version and of how far an upgrade is. One process upgrades, and writes the note after every few rows; the
others wait. Whoever sees the same note for SILENT_S goes on from there: its writer was killed. If that one was only slow, both do some of
the work, and no harm: a row is changed only where it still lacks what the change brings.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

import msgspec

from core.errors import Conflict, PenstockError, SettingsError
from core.logging import get_logger
from core.models.jobs import JobStatus
from core.storage import generations, messages, pulls, users
from core.storage.records.port import KEY, Collection, Filter, In, Order, Range, Record, Records

COLLECTION = Collection("versions")
STORE = "store"

ROWS = 32  # held in memory at once
LOOKED_AT = 1_000  # rows that one question to the store looks at
SILENT_S = 5.0
LOOK_AGAIN_S = 0.1
SAY_S = 5.0

log = get_logger(face="core")


class Step(msgspec.Struct, frozen=True):
    """What is done to a collection's rows that meet ``where``: ``changes`` says what to set, after which they meet it no more."""

    collection: Collection
    where: Filter
    changes: Callable[[Record], Record]


_WAITING = In(("queued", "running"))


def _in_progress(_: Record) -> Record:
    return {"status": JobStatus.IN_PROGRESS.value}


# By the version that they lead to, from 1: never changed, only added to. 0 is a store without a note.
UPGRADES: tuple[tuple[Step, ...], ...] = (
    (
        Step(messages.COLLECTION, {"text": None}, messages.search_fields),
        Step(users.COLLECTION, {"search": None}, users.search_fields),
        Step(generations.COLLECTION, {"status": _WAITING}, _in_progress),
        Step(pulls.COLLECTION, {"status": _WAITING}, _in_progress),
    ),
)


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """``step`` of the next version's upgrade is done up to the key ``after``, by ``holder``."""

    version: int = 0
    step: int = 0
    after: str = ""
    holder: str = ""

    def behind(self, after: str | None) -> "_Note":
        """The note when rows up to a key are done, or (None) all of this step's."""
        if after is not None:
            return msgspec.structs.replace(self, after=after)
        if self.step + 1 < len(UPGRADES[self.version]):
            return msgspec.structs.replace(self, after="", step=self.step + 1)
        return msgspec.structs.replace(self, after="", step=0, version=self.version + 1)


class _Keyed(msgspec.Struct, frozen=True):
    key: str = msgspec.field(name=KEY)


async def check(records: Records, place: str, other: str) -> None:
    """Look who made the store before anything else is written to it.

    Raises SettingsError where a newer build did. ``place``: what the settings name; ``other``: what they might name instead.
    """
    await records.setup((COLLECTION,))
    found = (await _note(records)).version
    if found > len(UPGRADES):
        message = (
            f"{place} was made by a newer Penstock: its version is {found}, and this Penstock knows versions up to {len(UPGRADES)}. "
            f"Update Penstock, or choose {other}."
        )
        raise SettingsError(message)


async def upgrade(records: Records) -> None:
    """Bring the store to this build's version, or wait while another process does. Raises what the store raises."""
    seen, since, waits = None, 0.0, False
    while (note := await _note(records)).version < len(UPGRADES):
        if note != seen:
            seen, since = note, time.monotonic()
        if not note.holder or time.monotonic() - since > SILENT_S:
            held = msgspec.structs.replace(note, holder=uuid.uuid4().hex)
            if await _write(records, note, held):
                await _upgrade(records, held)
            continue
        if not waits:
            waits = True
            log.info("loading", step="another process upgrades the store: waiting for it")
        await asyncio.sleep(LOOK_AGAIN_S)


async def _upgrade(records: Records, note: _Note) -> None:
    """Until all is done or another process has gone on in our place."""
    changed, said = 0, time.monotonic()
    try:
        while note.version < len(UPGRADES):
            step = UPGRADES[note.version][note.step]
            rows, after = await _some(records, step, note.after)
            changed += len(rows)
            behind = note.behind(after)
            if not await _write(records, note, behind):
                return
            note = behind
            if time.monotonic() - said > SAY_S:
                said = time.monotonic()
                log.info("loading", step=f"upgrading the store: {changed} rows so far, now those of {step.collection.name}")
    finally:
        with suppress(PenstockError):
            await _write(records, note, msgspec.structs.replace(note, holder=""))
    if changed:
        log.info("loading", step=f"the store is upgraded to version {note.version}: {changed} rows changed")


async def _some(records: Records, step: Step, after: str) -> tuple[list[Record], str | None]:
    """Change the next rows behind a key. Which they were, and the key to go on behind: None where there are no more."""
    by_key = Order(KEY)
    ends = await records.find(step.collection, {KEY: Range(gt=after)}, _Keyed, order=by_key, skip=LOOKED_AT - 1, limit=1)
    last = ends[0].key if ends else None
    rows = await records.find(step.collection, {**step.where, KEY: Range(gt=after, lte=last)}, Record, order=by_key, limit=ROWS)
    changes = await asyncio.to_thread(lambda: list(map(step.changes, rows)))
    await asyncio.gather(
        *(records.update(step.collection, row[KEY], change, where=step.where) for row, change in zip(rows, changes, strict=True))
    )
    return rows, rows[-1][KEY] if len(rows) == ROWS else last


async def _note(records: Records) -> _Note:
    while (found := await records.get(COLLECTION, STORE, _Note)) is None:
        with suppress(Conflict):  # another process has written it
            await records.insert(COLLECTION, [{KEY: STORE, **msgspec.structs.asdict(_Note())}])
    return found


async def _write(records: Records, old: _Note, new: _Note) -> bool:
    """If the note is still the old one; whether it was."""
    return await records.update(COLLECTION, STORE, msgspec.structs.asdict(new), where=msgspec.structs.asdict(old))
