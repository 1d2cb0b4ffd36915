import msgspec
import pytest

from core.errors import Conflict
from core.models.ingestion import IngestJob
from core.models.jobs import JobStatus
from core.models.knowledge import FileState, KnowledgeFile
from core.storage.ingest_jobs import IngestJobs
from core.storage.knowledge_files import KnowledgeFiles
from core.storage.records.port import Records

JOB = IngestJob(id="1", user_id="u", knowledge_id="k", total=3, created_at=1, updated_at=1)
ENTRY = KnowledgeFile(
    id="e1",
    knowledge_id="k",
    key="path:a.md",
    file_id="f1",
    filename="a.md",
    content_type="text/markdown",
    size=1,
    hash="h",
    user_id="u",
    job_id="1",
    item=1,
    created_at=1,
    updated_at=1,
)


def entry(number: int, **changes: object) -> KnowledgeFile:
    about: dict[str, object] = {"id": f"e{number}", "key": f"path:{number}.md", "file_id": f"f{number}", "item": number}
    return msgspec.structs.replace(ENTRY, **{**about, **changes})


async def test_what_has_ended_stays_as_it_ended(records: Records) -> None:
    rows = IngestJobs(records)
    await rows.insert(JOB)
    await rows.insert(msgspec.structs.replace(JOB, id="2", user_id="v", created_at=2))
    assert [job.id for job in await rows.unfinished(9)] == ["1", "2"]
    ended = await rows.finish(msgspec.structs.replace(JOB, completed=2, failed=1, chunks=7), JobStatus.FINISHED)
    assert (ended.status, ended.completed, ended.failed, ended.chunks) == (JobStatus.FINISHED, 2, 1, 7)
    assert ended.ended_at
    assert await rows.finish(JOB, JobStatus.CANCELLED) == ended
    assert [job.id for job in await rows.unfinished(9)] == ["2"]
    assert [job.id for job in await rows.recent(None, 9)] == ["2", "1"]
    assert await rows.recent("u", 9) == [ended]
    await rows.remove_user("u")
    assert await rows.get("1") is None


async def test_the_files_of_a_job_are_counted_found_and_stopped_as_they_are(records: Records) -> None:
    rows = KnowledgeFiles(records)
    ready = entry(3, state=FileState.READY, chunks=4, pages=2)
    alone = entry(5, job_id=None, obsolete=("old",))
    await rows.insert(entry(1), entry(2, state=FileState.EMBEDDING), ready, entry(4, removed=True), alone)
    await rows.insert()
    with pytest.raises(Conflict):
        await rows.insert(entry(6), entry(7, key="path:1.md"))
    assert await rows.count_of_job("1") == (2, 0)
    assert [found.id for found in await rows.unfinished(9)] == ["e5"]
    assert [(size.chunks, size.pages) for size in await rows.sizes_of_job("1")] == [(4, 2)]
    assert await rows.stop_job("1", "stopped", 2) == 2
    assert await rows.count_of_job("1") == (0, 2)
    assert [(found.id, found.error) for found in await rows.of_job("1", FileState.FAILED, 1)] == [("e1", "stopped")]
    assert {found.id for found in await rows.of_keys("k", ["path:1.md", "path:5.md", "path:9.md"])} == {"e1", "e5"}
    assert await rows.get("e5") == alone


async def test_the_files_of_a_base_come_in_pages(records: Records) -> None:
    rows = KnowledgeFiles(records)
    await rows.insert(*(entry(number, created_at=number // 3) for number in range(1, 9)))
    first = await rows.page("k", None, 5)
    rest = await rows.page("k", first[-1], 5)
    assert [found.id for found in (*first, *rest)] == [f"e{number}" for number in range(1, 9)]
