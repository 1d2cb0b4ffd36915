"""Custom models, all of them in memory: asking one costs no reading of the store. Who changes one tells every process."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from core.errors import BadRequest, PenstockError, Unavailable
from core.events import EventLog
from core.logging import get_logger
from core.models.catalog import CustomModel
from core.storage.models import Models as ModelRows

TOPIC = "models:custom"
RETRY_S = 1.0
MAX_BYTES = 262_144  # of JSON: they are in everybody's list of models, and in every process's memory

log = get_logger()


def check_size(**parts: Mapping[str, Any] | None) -> None:
    """Raises BadRequest that names the part of a custom model that is too large."""
    for name, part in parts.items():
        size = len(msgspec.json.encode(part))
        if size > MAX_BYTES:
            message = f"{name} may have {MAX_BYTES} bytes of JSON; these are {size}."
            raise BadRequest(message, param=name)


class CustomModels:
    """What is stored, as this process last heard of it. The first question reads it; processes that never ask never do."""

    def __init__(self, rows: ModelRows, events: EventLog) -> None:
        self._rows = rows
        self._events = events
        self._known: dict[str, CustomModel] = {}
        self._read = False
        self._listening: asyncio.Task[None] | None = None

    async def all(self) -> Mapping[str, CustomModel]:
        """All, by id."""
        if not self._read:
            if self._listening is None:
                self._listening = asyncio.create_task(self._listen())
            await self._read_all()
        return self._known

    async def get(self, model_id: str) -> CustomModel | None:
        """One as it is stored now, for those who change it."""
        return await self._rows.get(model_id)

    async def add(self, model: CustomModel) -> None:
        """Store a new one. Raises Conflict where the id is taken."""
        await self._rows.insert(model)
        await self._tell(model.id)

    async def change(self, model_id: str, changes: dict[str, Any]) -> CustomModel | None:
        """Set some fields; as it is now, None where it is gone."""
        await self._rows.change(model_id, changes)
        await self._tell(model_id)
        return self._known.get(model_id)

    async def remove(self, model_id: str) -> None:
        """Take one away."""
        await self._rows.remove(model_id)
        await self._tell(model_id)

    async def remove_user(self, user_id: str) -> None:
        """Take all of a user's away."""
        for model in await self._rows.of_user(user_id):
            await self.remove(model.id)

    async def close(self) -> None:
        """Hear nothing more."""
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _tell(self, model_id: str) -> None:
        """Who changed one sees it at once, the others soon."""
        await self._look(model_id)
        with suppress(Unavailable):  # whoever listens has lost Redis too, and reads all when it is back
            await self._events.notify(TOPIC, model_id.encode())

    async def _look(self, model_id: str) -> None:
        found = await self._rows.get(model_id)
        if found:
            self._known[model_id] = found
        else:
            self._known.pop(model_id, None)

    async def _read_all(self) -> None:
        self._known = {model.id: model for model in await self._rows.all()}
        self._read = True

    async def _listen(self) -> None:
        while True:
            try:
                async for told in self._events.hear(TOPIC):
                    if told is None:
                        await self._read_all()
                    else:
                        await self._look(told.decode())
            except PenstockError as error:
                log.warning("custom models not read", why=error.detail)
                await asyncio.sleep(RETRY_S)
