"""Entries of knowledge bases whose jobs were lost or ended unnoticed; no worker is there."""

from typing import Any

import pytest

from core.jobs import INDEX, queue_of
from core.jobs.unserved import Unserved
from core.models.events import Failed
from core.models.knowledge import KnowledgeFile
from core.redis.keys import job_key
from core.services import Services
from core.services.knowledge import upkeep
from core.services.knowledge.indexing import job_id_of
from tests.api.conftest import Client, ada, bob, visitor
from tests.api.forms import uploaded
from tests.serving import app, quick_passwords, services, url

__all__ = ["ada", "app", "bob", "quick_passwords", "services", "url", "visitor"]


@pytest.fixture
async def entry(bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> KnowledgeFile:
    """One that is queued."""
    monkeypatch.setattr(upkeep, "YOUNG_S", 0)
    base = (await bob.post("/api/knowledge/create", {"name": "Mills"})).body
    file = await uploaded(bob, b"The mill grinds corn.", "mill.txt")
    await bob.post(f"/api/knowledge/{base['id']}/file/add", {"file_id": file["id"]})
    found = await services.knowledge.find(base["id"])
    assert found
    (entry,) = await services.knowledge_files.list(found)
    return entry


async def look(services: Services, entry: KnowledgeFile) -> Any:
    """What the row says after one turn of upkeep."""
    await services.upkeep._knowledge_upkeep.begin_lost()
    found = await services.knowledge_files.find(entry.id)
    assert found
    return found.state, found.error


async def test_a_lost_job_is_submitted_again(services: Services, entry: KnowledgeFile) -> None:
    job_id = job_id_of(entry)
    assert await look(services, entry) == ("queued", None)
    await services.redis.delete(job_key(job_id))
    assert await services.claims.state(job_id) is None
    assert await look(services, entry) == ("queued", None)
    assert await services.claims.state(job_id) == "queued"


async def test_one_that_was_ended_without_a_worker_says_why(services: Services, entry: KnowledgeFile) -> None:
    await services.claims.fail(job_id_of(entry), Failed(code="unavailable", detail="It was given up."))
    assert await look(services, entry) == ("failed", "It was given up.")


async def test_it_waits_for_a_worker_as_long_as_it_takes(services: Services, entry: KnowledgeFile) -> None:
    unserved = Unserved(claims=services.claims, queue=services.queue, workers=services.workers, wait_s=0)
    assert await services.queue.waiting(queue_of(INDEX), 1) == [job_id_of(entry)]
    assert await unserved.look() == []
    assert await services.claims.state(job_id_of(entry)) == "queued"
