import asyncio
import base64
from array import array
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from core.jobs import EMBED, calls, queue_of
from core.jobs.claims import Held
from core.models.catalog import Model, Task
from core.models.events import Finished
from core.models.jobs import JobStatus
from core.models.pools import Pool
from core.services import Services
from pipelines.upstreams.upstreams import Upstreams
from tests.api.conftest import Client
from tests.api.manual_jobs import pop_job
from tests.polling import until
from tests.serving_models import WORKER, serve_models
from tests.upstream import Upstream
from tests.worker_parts import WorkerParts, working
from workers.actors.embeddings import Embeddings

PATHS = ("/api/openai/v1/embeddings", "/v1/embeddings", "/api/embeddings")
MODELS = ("embed", "picky-embed", "short-embed")
LOCAL = Model(id="local", name="Local", owned_by="penstock", created=1, pool=Pool.GPU, tasks=(Task.EMBEDDING,))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(models=MODELS).serving() as serving:
        yield serving


@pytest.fixture
async def relay(services: Services, upstream: Upstream) -> AsyncIterator[WorkerParts]:
    """A relay worker's part in this process: what is enqueued is made, with a real upstream."""
    settings = type(services.settings)(openai_base_urls=(upstream.url,))
    upstreams = Upstreams(settings)
    await upstreams.open()
    await services.catalogue.publish("relay", await upstreams.refresh())
    actor = Embeddings(results=services.results, embedder=upstreams)
    async with working(services, "here", {EMBED[Pool.RELAY]: actor}, MODELS) as worker:
        yield worker
    await upstreams.close()


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize("path", PATHS)
async def test_a_texts_vector_has_openais_shape(bob: Client, path: str) -> None:
    reply = await bob.post(path, {"model": "embed", "input": "hello"})
    assert reply.status == 200
    tenth = array("f", [0.1])[0]
    assert reply.body == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [5.0, tenth, tenth, tenth]}],
        "model": "embed",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


@pytest.mark.usefixtures("relay")
async def test_base64_is_little_endian_float32(bob: Client) -> None:
    reply = await bob.post(PATHS[0], {"model": "embed", "input": ["a", "bcd"], "encoding_format": "base64"})
    vectors = [array("f", base64.b64decode(row["embedding"])).tolist() for row in reply.body["data"]]
    assert [vector[:2] for vector in vectors] == [[1.0, array("f", [0.1])[0]], [3.0, 2.0]]


@pytest.mark.usefixtures("relay")
async def test_the_openai_sdk_reads_vectors_in_the_order_of_the_inputs(bob: Client, upstream: Upstream) -> None:
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/api/openai/v1", api_key=bob.token, max_retries=0) as client:
        made = await client.embeddings.create(model="embed", input=["one", "three", "seven"], dimensions=6, user="me")
        assert [row.embedding[:3] for row in made.data] == [
            [3.0, pytest.approx(0.1), pytest.approx(0.1)],
            [5.0, 2.0, pytest.approx(0.1)],
            [5.0, 2.0, 2.0],
        ]
        assert {len(row.embedding) for row in made.data} == {6}
        tokens = await client.embeddings.create(model="embed", input=[[1, 2, 3], [4]], encoding_format="float")
        assert [row.embedding[0] for row in tokens.data] == [3.0, 1.0]
        single = await client.embeddings.create(model="embed", input=[7, 8, 9, 10])
        assert len(single.data) == 1
    asked = [body for body, _ in upstream.seen]
    assert asked[0] == {"model": "embed", "input": ["one", "three", "seven"], "dimensions": 6, "encoding_format": "float"}


@pytest.mark.usefixtures("relay")
async def test_many_inputs_at_once(bob: Client) -> None:
    reply = await bob.post(PATHS[0], {"model": "embed", "input": ["x" * (1 + place % 7) for place in range(2048)], "dimensions": 64})
    assert [row["index"] for row in reply.body["data"]] == list(range(2048))
    assert [row["embedding"][0] for row in reply.body["data"]] == [1 + place % 7 for place in range(2048)]


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize("model", ["embed", "picky-embed"])
async def test_nothing_of_a_request_stays_in_redis_whatever_came_of_it(bob: Client, services: Services, model: str) -> None:
    await bob.post(PATHS[0], {"model": model, "input": "hello"})
    assert await services.redis.keys("job:*") == []


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"model": "embed"}, "input", "missing"),
        ({"input": "x"}, "model", "missing"),
        ({"model": "embed", "input": ""}, "input", "at least 1"),
        ({"model": "embed", "input": []}, "input", "at least 1"),
        ({"model": "embed", "input": ["a", ""]}, "input[1]", "at least 1"),
        ({"model": "embed", "input": [[1], []]}, "input[1]", "at least 1"),
        ({"model": "embed", "input": ["a", 1]}, "input", "several kinds"),
        ({"model": "embed", "input": [-1]}, "input[0]", "at least 0"),
        ({"model": "embed", "input": ["a"] * 2049}, "input", "at most 2048 inputs at once; these are 2049"),
        ({"model": "embed", "input": "a", "encoding_format": "hex"}, "encoding_format", "hex"),
        ({"model": "embed", "input": "a", "dimensions": 0}, "dimensions", "at least 1"),
        ({"model": "echo", "input": "a"}, "model", "only for chat. Models that can: embed, picky-embed, short-embed"),
        ({"model": "picky-embed", "input": "a", "dimensions": 3}, "dimensions", "does not support specifying dimensions"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_in_openais_shape(
    bob: Client, services: Services, body: Any, param: str | None, words: str
) -> None:
    echo = Model(id="echo", name="Echo", owned_by="penstock", created=1, pool=Pool.GPU, tasks=(Task.CHAT,))
    await serve_models(services, echo)
    reply = await bob.post(PATHS[0], body)
    assert (reply.status, reply.body["error"]["type"]) == (400, "invalid_request_error")
    assert words in reply.body["detail"]
    assert reply.body["error"]["param"] == param


@pytest.mark.usefixtures("relay")
async def test_an_upstreams_own_words_and_code_come_through(bob: Client) -> None:
    reply = await bob.post(PATHS[0], {"model": "picky-embed", "input": "a", "dimensions": 3})
    message = "This model does not support specifying dimensions."
    error = {"message": message, "type": "invalid_request_error", "param": "dimensions", "code": "invalid_value"}
    assert reply.body == {"detail": message, "error": error}


@pytest.mark.usefixtures("relay")
async def test_an_upstream_that_gives_too_few_vectors_is_told(bob: Client) -> None:
    reply = await bob.post(PATHS[0], {"model": "short-embed", "input": ["a", "b"]})
    assert (reply.status, reply.body["error"]["code"]) == (502, "upstream_error")


async def test_a_chat_of_an_embedding_model_is_refused(bob: Client, relay: WorkerParts) -> None:
    assert relay is not None
    reply = await bob.post("/v1/chat/completions", {"model": "embed", "messages": [{"role": "user", "content": "hi"}]})
    assert (reply.status, reply.body["error"]["param"]) == (400, "model")
    assert "only for embedding" in reply.body["detail"]


async def test_a_chat_that_names_no_model_is_never_given_an_embedding_model(bob: Client, services: Services) -> None:
    await serve_models(services, LOCAL, worker_id="a first")
    chat = await bob.post("/api/chats/new", {"chat": {"title": "x", "messages": []}})
    asked = await bob.post(f"/api/chats/{chat.body['id']}/messages", {"content": "hi"})
    assert asked.body["answer"]["model"] == "echo"


async def test_models_say_what_they_can_be_asked_for(bob: Client, services: Services) -> None:
    await serve_models(services, LOCAL, worker_id="local")
    rows = {row["id"]: row.get("tasks") for row in (await bob.get("/v1/models")).body["data"]}
    assert rows == {"local": ["embedding"], "echo": None}


async def test_an_unknown_model_is_openais_model_not_found(bob: Client) -> None:
    reply = await bob.post(PATHS[0], {"model": "nope", "input": "x"})
    assert (reply.status, reply.body["error"]["code"]) == (404, "model_not_found")


async def test_without_a_worker_of_its_pool_it_is_unavailable_and_says_what_to_start(
    bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LOOK_S", 0.02)
    monkeypatch.setattr(calls, "PATIENCE_S", 0.05)
    await serve_models(services, LOCAL)
    await services.workers.forget(WORKER)
    reply = await bob.post(PATHS[0], {"model": "local", "input": "x"})
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert "penstock worker gpu" in reply.body["error"]["message"]


async def test_one_whose_worker_is_missing_for_a_moment_waits_for_it(
    bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LOOK_S", 0.02)
    await serve_models(services, LOCAL)
    await services.workers.forget(WORKER)
    looks = 0

    async def has_live_worker(_pool: Pool) -> bool:
        nonlocal looks
        looks += 1
        return False

    monkeypatch.setattr(services.workers, "has_live_worker", has_live_worker)
    asked = asyncio.create_task(bob.post(PATHS[0], {"model": "local", "input": "x"}))

    async def looked_twice() -> bool:
        return looks > 1

    await until(looked_twice, "nobody is there at two looks")
    job = await pop_job(services, queue_of(EMBED[Pool.GPU], LOCAL.id))
    claim = await services.claims.claim(job, "a worker")
    assert claim
    await services.results.put(job, array("f", [1.0]).tobytes())
    await services.claims.append(claim, 1, [Finished()], end=JobStatus.FINISHED)
    assert (await asked).status == 200


async def test_a_client_that_leaves_stops_its_job(bob: Client, services: Services) -> None:
    await serve_models(services, LOCAL, worker_id="local")
    asked = asyncio.create_task(bob.post(PATHS[0], {"model": "local", "input": "x"}))
    job = await pop_job(services, queue_of(EMBED[Pool.GPU], LOCAL.id))
    claim = await services.claims.claim(job, "a worker")
    assert claim
    asked.cancel()

    async def lost() -> bool:
        return await services.claims.look([claim]) != [Held.KEPT]

    await until(lost, "its worker is told")
    await until(lambda: gone(services), "nothing of it is kept")


async def gone(services: Services) -> bool:
    return not await services.redis.keys("job:*")
