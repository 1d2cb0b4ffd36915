"""Records of what is in progress, against what Redis knows."""

import time
from typing import Any

import pytest

from core.ids import new_id
from core.jobs.results import Results
from core.models.chats import Message
from core.models.events import Delta, Failed, Finished
from core.models.files import File, FileStatus
from core.models.generations import Generation
from core.models.jobs import JobSpec, JobStatus
from core.models.pulls import Pull
from core.services.answers import Answers
from core.services.chats.chats import Chats
from core.services.files.processing import Processing, job_id_of
from core.services.reconciliation import LOST, Reconciliation
from core.storage.files import Files
from core.storage.generations import Generations
from core.storage.pulls import Pulls
from core.storage.records.port import Records
from tests.core.services.people import ME
from tests.job_backend import BODY, JobBackend, new_reply
from tests.job_backend import any_jobs_url as jobs_url

__all__ = ["jobs_url"]


@pytest.fixture
def pulls(records: Records) -> Pulls:
    return Pulls(records)


@pytest.fixture
def files(records: Records) -> Files:
    return Files(records)


@pytest.fixture
def reconciliation(generations: Generations, chats: Chats, pulls: Pulls, files: Files, backend: JobBackend) -> Reconciliation:
    return Reconciliation(
        generations=generations,
        pulls=pulls,
        files=files,
        processing=Processing(backend.queue, backend.claims, Results(backend.scripts), backend.log),
        answers=Answers(generations, chats),
        claims=backend.claims,
        events=backend.log,
    )


async def asked(chats: Chats, generations: Generations, *, ago_s: int = 60) -> tuple[str, JobSpec]:
    """A chat with an answer in progress, as its records say; its job is not submitted."""
    chat_id, spec = (await chats.create(ME, {})).chat.id, new_reply()
    question = Message(id=f"q{spec.id}", chat_id=chat_id, position=0, role="user", content="hi", timestamp=1, extra={})
    answer = Message(id=f"a{spec.id}", chat_id=chat_id, position=0, role="assistant", content="", timestamp=1, extra={"done": False})
    await chats.append(ME, chat_id, (question, answer))
    row = Generation(
        id=spec.id,
        user_id=ME.id,
        chat_id=chat_id,
        message_id=answer.id,
        model="m",
        status=JobStatus.IN_PROGRESS,
        created_at=int(time.time()) - ago_s,
    )
    await generations.insert(row)
    return chat_id, spec


async def ended(generations: Generations, spec: JobSpec) -> tuple[JobStatus, str | None]:
    row = await generations.get(spec.id)
    assert row
    return row.status, row.error


async def test_an_answer_of_which_redis_knows_nothing_fails_with_the_reason(
    chats: Chats, generations: Generations, reconciliation: Reconciliation
) -> None:
    chat_id, spec = await asked(chats, generations)
    assert await reconciliation.run() == [spec.id]
    assert await ended(generations, spec) == (JobStatus.FAILED, LOST.detail)
    answer = (await chats.detail(chat_id)).messages[-1]
    assert answer.extra["done"] is True
    assert answer.extra["error"]["content"] == LOST.detail
    assert await reconciliation.run() == []


async def test_what_waits_or_runs_or_was_asked_for_just_now_is_left_alone(
    chats: Chats, generations: Generations, reconciliation: Reconciliation, backend: JobBackend
) -> None:
    _, waiting = await asked(chats, generations)
    _, running = await asked(chats, generations)
    await asked(chats, generations, ago_s=0)
    await backend.given(running, "one")
    await backend.queue.submit(waiting, BODY)
    assert await reconciliation.run() == []


async def test_an_answer_that_was_ended_while_no_worker_had_it_keeps_what_its_readers_saw(
    chats: Chats, generations: Generations, reconciliation: Reconciliation, backend: JobBackend
) -> None:
    chat_id, spec = await asked(chats, generations)
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [Delta(text="as far "), Delta(text="as it came")])
    await backend.bury("one")
    why = Failed(code="unavailable", detail="Nobody serves it.")
    assert await backend.claims.fail(spec.id, why)
    assert await reconciliation.run() == [spec.id]
    assert await ended(generations, spec) == (JobStatus.FAILED, why.detail)
    answer = (await chats.detail(chat_id)).messages[-1]
    assert (answer.content, answer.extra["error"]["content"]) == ("as far as it came", why.detail)


async def test_a_restored_backup_ends_as_the_log_did(
    chats: Chats, generations: Generations, reconciliation: Reconciliation, backend: JobBackend
) -> None:
    _, spec = await asked(chats, generations)
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [Delta(text="all"), Finished()], end=JobStatus.FINISHED)
    assert await reconciliation.run() == [spec.id]
    assert await ended(generations, spec) == (JobStatus.FINISHED, None)


async def test_a_pull_of_which_redis_knows_nothing_fails_and_its_slot_is_free(pulls: Pulls, reconciliation: Reconciliation) -> None:
    pull = Pull(
        id="p", user_id=ME.id, name="tiny/llama", source=None, upstream="", status=JobStatus.IN_PROGRESS, created_at=1, updated_at=1
    )
    await pulls.insert(pull, "slot")
    assert await reconciliation.run() == ["p"]
    assert await pulls.in_slot("slot") is None
    found = await pulls.get("p")
    assert found
    assert (found.status, found.error) == (JobStatus.FAILED, LOST.detail)


async def sent(files: Files, *, ago_s: int = 60) -> File:
    """A file that nobody has read; its job is not submitted."""
    at = int(time.time()) - ago_s
    about: Any = {"user_id": ME.id, "filename": "a.txt", "content_type": "text/plain", "size": 1, "hash": "0"}
    file = File(id=new_id(), created_at=at, updated_at=at, **about)
    await files.insert(file)
    return file


async def test_a_file_whose_job_is_lost_is_to_be_read_again(files: Files, reconciliation: Reconciliation, backend: JobBackend) -> None:
    lost, young = await sent(files), await sent(files, ago_s=0)
    assert await reconciliation.run() == []
    assert await backend.claims.state(job_id_of(lost)) == "queued"
    assert await backend.claims.state(job_id_of(young)) is None


async def test_a_file_whose_job_failed_unnoticed_fails_with_its_reason(
    files: Files, reconciliation: Reconciliation, backend: JobBackend
) -> None:
    file = await sent(files)
    await Processing(backend.queue, backend.claims, Results(backend.scripts), backend.log).submit(file)
    await backend.claims.fail(job_id_of(file), Failed(code="unavailable", detail="No cpu worker is running."))
    assert await reconciliation.run() == [file.id]
    found = await files.get(file.id)
    assert found
    assert (found.status, found.error) == (FileStatus.FAILED, "No cpu worker is running.")
