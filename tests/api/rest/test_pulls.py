import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core.jobs import PULL
from core.jobs.ownership import cancel_user
from core.services import Services
from core.settings import Settings
from pipelines.pulls.puller import Puller
from tests.api.conftest import Client
from tests.hub import HubMirror
from tests.ollama import LAYER_BYTES, Ollama
from tests.pipelines.pulls.test_hub import FILES, LLAMA
from tests.polling import until
from tests.worker_parts import working
from workers.actors.pulls import Pulls

NAME = "llama3.3:70b"


@pytest.fixture
async def ollama() -> AsyncIterator[Ollama]:
    async with Ollama(library={NAME: 2}).serving() as serving:
        yield serving


@pytest.fixture
async def mirror() -> AsyncIterator[HubMirror]:
    async with HubMirror({LLAMA: FILES}).serving() as serving:
        yield serving


@pytest.fixture
def settings(settings: Settings, ollama: Ollama, mirror: HubMirror) -> Settings:
    """Settings that name an Ollama and a hub."""
    return msgspec.structs.replace(settings, ollama_base_urls=(ollama.url,), hf_endpoint=mirror.url)


@pytest.fixture
async def worker(services: Services, settings: Settings) -> AsyncIterator[Puller]:
    """The part of a CPU worker that pulls: it takes whatever is queued."""
    puller = Puller(settings)
    pulls = Pulls(events=services.events, pulls=services.pulls, puller=puller)
    async with working(services, "w", {PULL: pulls}):
        yield puller
    await puller.close()


async def lines(client: Client, body: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    async with client.session.post(f"{client.url}/api/models/pull", json=body, headers=client.headers) as response:
        return response, [msgspec.json.decode(line) for line in (await response.read()).splitlines()]


async def test_a_pull_as_printed_is_streamed_in_ollamas_lines(ada: Client, ollama: Ollama, worker: Puller) -> None:
    assert worker
    response, found = await lines(ada, {"name": NAME})
    assert (response.status, response.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert found[0]["id"] == response.headers["X-Job-Id"]
    assert found[-1] == {"status": "success", "id": found[0]["id"]}
    assert {"status": f"pulling sha256:{NAME}-1", "digest": f"sha256:{NAME}-1", "total": LAYER_BYTES, "completed": LAYER_BYTES} in found
    assert ollama.models == [NAME]
    row = (await ada.get(f"/api/models/pull/{found[0]['id']}")).body
    assert (row["status"], row["name"], row["total"], row["completed"]) == ("finished", NAME, 2 * LAYER_BYTES, 2 * LAYER_BYTES)
    assert (await ada.get("/api/models/pulls")).body == [row]


async def test_without_streaming_the_answer_waits_for_the_end(ada: Client, worker: Puller, settings: Settings) -> None:
    assert worker
    reply = await ada.post("/api/models/pull", {"model": LLAMA, "stream": False})
    assert (reply.status, reply.body) == (200, {"status": "success", "id": reply.headers["X-Job-Id"]})
    assert list((settings.data_dir / "models" / "tiny" / "llama").glob("*/model.safetensors"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", ["nope", "tiny/nothing"])
async def test_what_does_not_exist_is_404_before_any_line(ada: Client, worker: Puller, *, name: str, stream: bool) -> None:
    assert worker
    reply = await ada.post("/api/models/pull", {"name": name, "stream": stream})
    assert reply.status == 404
    assert name in reply.body["detail"]
    (row,) = (await ada.get("/api/models/pulls")).body
    assert (row["status"], row["error"]) == ("failed", reply.body["detail"])


async def test_a_failure_in_the_middle_is_the_last_line(ada: Client, ollama: Ollama, worker: Puller) -> None:
    assert worker
    ollama.fails_at = f"sha256:{NAME}-1"
    _, found = await lines(ada, {"name": NAME})
    assert "max retries exceeded" in found[-1]["error"]
    assert found[-1]["code"] == "upstream_error"


async def test_a_first_line_with_the_job_comes_though_no_worker_is_there(ada: Client, ollama: Ollama) -> None:
    async with ada.session.post(f"{ada.url}/api/models/pull", json={"name": NAME}, headers=ada.headers) as response:
        line = msgspec.json.decode(await response.content.readline())
    assert line == {"status": "waiting for a worker", "id": response.headers["X-Job-Id"]}
    assert (await ada.delete(f"/api/models/pull/{line['id']}")).body == {"id": line["id"], "stopped": True}
    assert (await ada.get(f"/api/models/pull/{line['id']}")).body["status"] == "cancelled"
    assert ollama.pulled == []


async def test_two_pulls_of_one_model_are_one_job_that_goes_on_without_its_client(ada: Client, ollama: Ollama, worker: Puller) -> None:
    assert worker
    ollama.go = asyncio.Semaphore(0)
    async with ada.session.post(f"{ada.url}/api/models/pull", json={"name": NAME}, headers=ada.headers) as first:
        job_id = first.headers["X-Job-Id"]
    async with ada.session.post(f"{ada.url}/api/models/pull", json={"name": NAME}, headers=ada.headers) as second:
        for _ in range(10):
            ollama.go.release()
        found = [msgspec.json.decode(line) for line in (await second.read()).splitlines()]
    assert (second.headers["X-Job-Id"], found[-1]) == (job_id, {"status": "success", "id": job_id})
    assert len(ollama.pulled) == 1
    again = await ada.post("/api/models/pull", {"name": NAME, "stream": False})
    assert again.body["id"] != job_id


async def test_a_pull_is_stopped_and_its_stream_says_so(ada: Client, ollama: Ollama, worker: Puller) -> None:
    assert worker
    ollama.go = asyncio.Semaphore(0)
    pulling = asyncio.create_task(lines(ada, {"name": NAME}))
    await until(lambda: ollama.blobs, "the pull is under way")
    (row,) = (await ada.get("/api/models/pulls")).body
    await ada.delete(f"/api/models/pull/{row['id']}")
    _, found = await pulling
    assert "was stopped" in found[-1]["error"]
    assert (await ada.get(f"/api/models/pull/{row['id']}")).body["status"] == "cancelled"
    await until(lambda: ollama.left, "Ollama is told")


async def test_one_that_waits_is_stopped_at_once_also_where_its_administrator_is_deleted(
    ada: Client, ollama: Ollama, services: Services
) -> None:
    assert ollama
    async with ada.session.post(f"{ada.url}/api/models/pull", json={"name": NAME}, headers=ada.headers) as response:
        pull_id = response.headers["X-Job-Id"]
    await cancel_user(services.claims, services.queue, ada.user["id"])
    assert (await ada.delete(f"/api/models/pull/{pull_id}")).status == 200
    pull = (await ada.get(f"/api/models/pull/{pull_id}")).body
    assert (pull["status"], pull["ended_at"] is not None) == ("cancelled", True)


async def test_its_events_can_be_resumed(ada: Client, worker: Puller) -> None:
    assert worker
    job_id = (await ada.post("/api/models/pull", {"name": NAME, "stream": False})).body["id"]
    path = f"{ada.url}/api/models/pull/{job_id}/events"
    async with ada.session.get(path, headers=ada.headers) as response:
        whole = (await response.text()).split("\n\n")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert whole[-2].startswith("event: finished")
    middle = next(line[4:] for line in whole[1].splitlines() if line.startswith("id: "))
    async with ada.session.get(path, headers=ada.headers | {"Last-Event-ID": middle}) as response:
        rest = (await response.text()).split("\n\n")
    assert rest[1:] == whole[3:]
    assert (await ada.get(f"/api/models/pull/{job_id}/events", headers={"Last-Event-ID": "x"})).status == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "../etc", "source": "huggingface"}, "owner/name"),
        ({"name": NAME, "upstream": 3}, "upstream"),
        ({"name": NAME, "upstream": "http://elsewhere"}, "upstream"),
        ({"name": NAME, "source": "pirates"}, "source"),
    ],
)
async def test_what_cannot_be_pulled_is_refused_by_name(ada: Client, body: dict[str, Any], said: str) -> None:
    reply = await ada.post("/api/models/pull", body)
    assert (reply.status, said in reply.body["detail"]) == (400, True), reply


async def test_an_ollama_may_be_named(ada: Client, ollama: Ollama, worker: Puller) -> None:
    assert worker
    for upstream in (0, "0", ollama.url):
        assert (await ada.post("/api/models/pull", {"name": NAME, "upstream": upstream, "stream": False})).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/models/pull"),
        ("GET", "/api/models/pulls"),
        ("GET", "/api/models/pull/{id}"),
        ("GET", "/api/models/pull/{id}/events"),
        ("DELETE", "/api/models/pull/{id}"),
    ],
)
async def test_only_administrators_pull(ada: Client, bob: Client, method: str, path: str) -> None:
    async with ada.session.post(f"{ada.url}/api/models/pull", json={"name": NAME}, headers=ada.headers) as response:
        job_id = response.headers["X-Job-Id"]
    body = {"name": "another"} if method == "POST" else None
    refused = await bob.ask(method, path.format(id=job_id), body)
    assert (refused.status, refused.body) == (403, {"detail": "Only administrators may do this."})
    assert [row["status"] for row in (await ada.get("/api/models/pulls")).body] == ["in_progress"]
    if method != "POST" and "{id}" in path:
        assert (await ada.ask(method, path.format(id="nope"), None)).status == 404
