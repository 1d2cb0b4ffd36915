import msgspec
import pytest

from core.errors import Conflict
from core.models.jobs import JobStatus
from core.models.pulls import Origin, Pull
from core.storage.pulls import Pulls
from core.storage.records.port import Records

PULL = Pull(
    id="1",
    user_id="u",
    name="llama3.3:70b",
    source=Origin.OLLAMA,
    upstream="http://ollama",
    status=JobStatus.IN_PROGRESS,
    created_at=1,
    updated_at=1,
)


async def test_a_slot_is_held_until_the_pull_has_ended(records: Records) -> None:
    rows, another = Pulls(records), msgspec.structs.replace(PULL, id="2", created_at=2)
    await rows.insert(PULL, "slot")
    with pytest.raises(Conflict):
        await rows.insert(another, "slot")
    assert await rows.in_slot("slot") == PULL
    await rows.finish("1", JobStatus.FINISHED)
    assert await rows.in_slot("slot") is None
    await rows.insert(another, "slot")
    assert [pull.id for pull in await rows.recent(10)] == ["2", "1"]
    assert [pull.id for pull in await rows.recent(1)] == ["2"]


async def test_what_has_ended_stays_as_it_ended(records: Records) -> None:
    rows = Pulls(records)
    await rows.insert(PULL, "slot")
    await rows.progress("1", "pulling", 10_000_000_000, 5)
    await rows.finish("1", JobStatus.FAILED, error="gone")
    await rows.progress("1", "pulling", 10, 9)
    await rows.finish("1", JobStatus.FINISHED)
    found = await rows.get("1")
    assert found
    assert (found.status, found.error, found.total, found.completed) == (JobStatus.FAILED, "gone", 10_000_000_000, 5)
    assert found.ended_at
    assert await rows.get("nope") is None
