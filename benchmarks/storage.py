"""What adding a message to a long chat costs, against a short one: ``python -m benchmarks.storage``."""

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.rows import Row, show
from benchmarks.stores import STORES, open_store
from core.events import EventLog
from core.jobs.claims import Claims
from core.models.chats import Message
from core.models.users import Principal, Role, User
from core.redis.client import Scripts, connect
from core.redis.read_markers import ReadMarkers
from core.services.chats.chats import Chats
from core.services.notifications import Notifications
from core.settings import Settings
from core.storage import open_records
from core.storage.chats import Chats as ChatRows
from core.storage.generations import Generations
from core.storage.messages import Messages
from core.storage.shares import Shares

SHORT, LONG = 10, 10_000
APPENDS = 300
TEXT = "Where does the river rise, and where does it end? " * 4
OWNER = Principal(user=User(id="u", name="U", email="u@example.com", role=Role.USER, created_at=1, updated_at=1, last_active_at=1))


async def measure() -> AsyncGenerator[Row, None]:
    """Appends to both chats by turns, so that whatever else the machine does falls on both."""
    with tempfile.TemporaryDirectory() as folder:
        for store in STORES:
            with open_store(store, Path(folder)) as mongo_url:
                yield await _append(store, Settings(data_dir=Path(folder) / "data", mongo_url=mongo_url))


async def _append(store: str, settings: Settings) -> Row:
    async with open_records(settings) as records:
        redis = connect("redis://127.0.0.1")  # appending tells nobody, so nothing is ever sent
        chats = Chats(
            rows=ChatRows(records),
            messages=Messages(records),
            generations=Generations(records),
            shares=Shares(records),
            read_markers=ReadMarkers(Scripts(redis)),
            notifications=Notifications(Claims(Scripts(redis)), EventLog(redis)),
        )
        took: dict[int, list[float]] = {}
        ids = {length: (await chats.create(OWNER, _document(length))).chat.id for length in (LONG, SHORT)}
        for _ in range(APPENDS):
            for length, chat_id in ids.items():
                began = time.perf_counter()
                await chats.append(OWNER, chat_id, [_message()])
                took.setdefault(length, []).append(time.perf_counter() - began)
        for length, chat_id in ids.items():
            assert len((await chats.get(OWNER, chat_id)).messages) == length + APPENDS
    long, short = (statistics.median(took[length]) * 1e6 for length in (LONG, SHORT))
    what = f"append to a chat of {LONG:,} messages against one of {SHORT}, {store}"
    return Row(what=what, measured=long / short, at_most=1.3, note=f"{long:.0f} µs / {short:.0f} µs")


def _document(length: int) -> dict[str, list[dict[str, str]]]:
    return {"messages": [{"role": "user", "content": TEXT} for _ in range(length)]}


def _message() -> Message:
    return Message(id=str(uuid.uuid4()), chat_id="", position=0, role="user", content=TEXT, timestamp=1)


if __name__ == "__main__":
    asyncio.run(show(measure()))
