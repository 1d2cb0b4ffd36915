"""What adding a message to a long chat costs, against a short one: ``python -m benchmarks.storage``."""

import asyncio
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.rows import Row, show
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
from tests import servers

SHORT, LONG = 10, 10_000
APPENDS = 300
TEXT = "Where does the river rise, and where does it end? " * 4
OWNER = Principal(user=User(id="u", name="U", email="u@example.com", role=Role.USER, created_at=1, updated_at=1, last_active_at=1))


async def measure() -> AsyncGenerator[Row, None]:
    """Appends to both chats by turns, so that whatever else the machine does falls on both."""
    with tempfile.TemporaryDirectory() as folder:
        yield await _append("SQLite", Settings(data_dir=Path(folder) / "data"))
        async with _mongo(Path(folder)) as mongo_url:
            if mongo_url:
                yield await _append("MongoDB's protocol", Settings(data_dir=Path(folder), mongo_url=mongo_url))


async def _append(store: str, settings: Settings) -> Row:
    async with open_records(settings) as records:
        redis = connect("redis://127.0.0.1")  # appending tells nobody, so nothing is ever sent
        chats = Chats(
            rows=ChatRows(records),
            messages=Messages(records),
            generations=Generations(records),
            shares=Shares(records),
            read_markers=ReadMarkers(Scripts(redis)),
            notifications=Notifications(Claims(Scripts(redis), lease_ms=1), EventLog(redis)),
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


@asynccontextmanager
async def _mongo(folder: Path) -> AsyncGenerator[str | None, None]:
    """The server that the tests use, where there is one."""
    given = os.environ.get("PENSTOCK_TEST_MONGO_URL")  # noqa: TID251 - a setting of the tests
    if given:
        yield f"{given.rstrip('/')}/bench_{uuid.uuid4().hex[:8]}"
    elif os.access(servers.CACHE / "ferretdb", os.X_OK):
        (folder / "ferretdb").mkdir()
        with servers.mongo_server(folder / "ferretdb") as url:
            yield f"{url}/bench"
    else:
        yield None


if __name__ == "__main__":
    asyncio.run(show(measure()))
