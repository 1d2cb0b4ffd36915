import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core.models.catalog import Model, Task
from core.models.pools import Pool
from core.services import Services, open_services
from core.services.models.catalogue import LOOK_TOPIC
from core.settings import Settings
from pipelines.chat import Prompt, prompt_of
from tests.api.conftest import MODEL, Client
from tests.api.manual_jobs import ManualJob, claim_next
from tests.polling import until
from tests.serving_models import serve_models

CODER: dict[str, Any] = {
    "name": "my-custom-model",
    "base_model": "echo",
    "params": {"system": "You are a helpful assistant specialized in coding.", "temperature": 0.7, "top_p": 0.9},
}
ASK: dict[str, Any] = {"model": "my-custom-model", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def coder(bob: Client) -> dict[str, Any]:
    """Bob's custom model."""
    created = await bob.post("/api/models/create", CODER)
    assert created.status == 201, created
    body: dict[str, Any] = created.body
    return body


async def prompt(services: Services, making: ManualJob) -> Prompt:
    return prompt_of(making.spec, making.claim.input, chat=await services.answers.chat(making.spec))


async def test_what_the_reference_creates_comes_back_whole(bob: Client, coder: dict[str, Any]) -> None:
    assert bob.user["id"] == coder.pop("user_id")
    assert coder.pop("created") == coder.pop("created_at") == coder.pop("updated_at") > 0
    assert coder == {
        "id": "my-custom-model",
        "name": "my-custom-model",
        "object": "model",
        "owned_by": "user",
        "base_model_id": "echo",
        "params": CODER["params"],
        "meta": {},
        "is_active": True,
        "info": {"base_model_id": "echo", "meta": {}},
    }


async def test_an_id_a_base_model_id_meta_and_unknown_parameters_are_taken_too(bob: Client) -> None:
    body = {
        "id": "bob/coder:v1",
        "name": "Bob's Coder",
        "base_model_id": "echo",
        "meta": {"description": "codes"},
        "params": {"mirostat": 1},
        "is_active": False,
    }
    created = await bob.post("/api/models/create", body)
    assert {name: created.body[name] for name in body} == body
    assert (await bob.get("/api/models/model?id=bob/coder:v1")).body == created.body
    assert (await bob.get("/api/models/bob/coder:v1")).body == created.body


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"params": {"temperature": 3}}, 400, "params.temperature"),
        ({"params": {"top_p": "much"}}, 400, "params.top_p"),
        ({"params": {"system": 1}}, 400, "params.system"),
        ({"base_model": None}, 400, "base_model"),
        ({"base_model": "nope"}, 404, "'nope'"),
        ({"name": ""}, 400, "name"),
        ({"name": "!!"}, 400, "Send an id"),
        ({"id": "echo"}, 400, "already a model 'echo'"),
        ({"id": " x"}, 400, "id"),
    ],
)
async def test_what_cannot_be_used_is_refused_by_name(bob: Client, body: dict[str, Any], status: int, said: str) -> None:
    refused = await bob.post("/api/models/create", CODER | body)
    assert (refused.status, said in refused.body["detail"]) == (status, True), refused


async def test_an_id_that_is_taken_is_refused(eve: Client, coder: dict[str, Any]) -> None:
    again = await eve.post("/api/models/create", CODER)
    assert again.status == 400
    assert repr(coder["id"]) in again.body["detail"]


async def test_a_custom_model_on_a_custom_model_is_refused_with_a_hint(bob: Client, coder: dict[str, Any]) -> None:
    refused = await bob.post("/api/models/create", {"name": "another", "base_model": coder["id"]})
    assert refused.status == 400
    assert "'echo'" in refused.body["detail"]


async def test_the_list_holds_served_and_custom_models(eve: Client, coder: dict[str, Any]) -> None:
    rows = {row["id"]: row for row in (await eve.get("/api/models/")).body["models"]}
    assert rows["my-custom-model"] == {
        "id": "my-custom-model",
        "object": "model",
        "name": "my-custom-model",
        "owned_by": "user",
        "created": coder["created"],
        "context_length": 2048,
        "info": {"base_model_id": "echo", "meta": {}},
    }
    assert rows["echo"]["created"] == MODEL.created
    assert (await eve.get("/v1/models/my-custom-model")).body["owned_by"] == "user"


async def test_a_system_prompt_is_for_its_owner_and_administrators_only(
    ada: Client, bob: Client, eve: Client, coder: dict[str, Any]
) -> None:
    path = f"/api/models/{coder['id']}"
    assert (await bob.get(path)).body["params"] == (await ada.get(path)).body["params"] == CODER["params"]
    assert (await eve.get(path)).body["params"] == {"temperature": 0.7, "top_p": 0.9}
    assert "helpful" not in str((await eve.get("/api/models/")).body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/models/my-custom-model"),
        ("POST", "/api/models/model/update?id=my-custom-model"),
        ("POST", "/api/models/model/toggle?id=my-custom-model"),
        ("DELETE", "/api/models/my-custom-model"),
        ("DELETE", "/api/models/model/delete?id=my-custom-model"),
    ],
)
async def test_a_stranger_changes_nothing(bob: Client, eve: Client, coder: dict[str, Any], method: str, path: str) -> None:
    refused = await eve.ask(method, path, {"name": "Eve's"})
    assert refused.status == 403
    assert (await bob.get("/api/models/my-custom-model")).body == coder


@pytest.mark.parametrize("path", ["/api/models/echo", "/api/models/nope"])
async def test_a_served_model_is_nobodys_to_change(ada: Client, path: str) -> None:
    status = 403 if path.endswith("echo") else 404
    assert (await ada.post(path, {"name": "x"})).status == status
    assert (await ada.delete(path)).status == status
    assert (await ada.get(path)).status == (200 if status == 403 else 404)


async def test_owners_and_administrators_change_and_delete(ada: Client, bob: Client, coder: dict[str, Any]) -> None:
    changed = await bob.post("/api/models/model/update?id=my-custom-model", {"name": "Coder", "params": {"temperature": 0}})
    assert (changed.status, changed.body["name"], changed.body["params"]) == (200, "Coder", {"temperature": 0})
    assert (await ada.post("/api/models/my-custom-model", {"meta": {"a": 1}})).body["meta"] == {"a": 1}
    assert (await bob.post("/api/models/my-custom-model", {"params": {"temperature": 9}})).status == 400
    assert (await bob.post("/api/models/my-custom-model", {"base_model": "nope"})).status == 404
    kept = (await bob.get("/api/models/my-custom-model")).body
    assert (kept["name"], kept["params"], kept["meta"], kept["base_model_id"]) == (
        "Coder",
        {"temperature": 0},
        {"a": 1},
        coder["base_model_id"],
    )
    gone = await ada.delete("/api/models/model/delete?id=my-custom-model")
    assert (gone.status, gone.body) == (200, True)
    assert (await bob.get("/api/models/my-custom-model")).status == 404
    assert (await bob.delete("/api/models/my-custom-model")).status == 404


async def test_a_switched_off_model_answers_nobody_and_is_seen_by_its_owner(bob: Client, eve: Client, coder: dict[str, Any]) -> None:
    assert (await bob.post("/api/models/model/toggle?id=my-custom-model", None)).body["is_active"] is False
    assert (await bob.get("/api/models/my-custom-model")).body["is_active"] is False
    assert (await eve.get("/api/models/my-custom-model")).status == 404
    assert (await eve.delete("/api/models/my-custom-model")).status == 404
    assert coder["id"] not in {row["id"] for row in (await bob.get("/api/models/")).body["models"]}
    refused = await bob.post("/v1/chat/completions", ASK)
    assert (refused.status, refused.body["error"]["code"]) == (404, "model_not_found")
    assert (await bob.post("/api/models/model/toggle?id=my-custom-model", None)).body["is_active"] is True


async def test_a_completion_is_asked_of_the_base_and_answered_as_the_custom_model(
    eve: Client, services: Services, coder: dict[str, Any]
) -> None:
    body = ASK | {"top_p": 0.5, "temperature": None, "messages": [{"role": "system", "content": "Be short."}, *ASK["messages"]]}
    asked = asyncio.create_task(eve.post("/v1/chat/completions", body))
    making = await claim_next(services)
    given = await prompt(services, making)
    assert making.spec.served == given.request.model == "echo"
    assert (given.request.temperature, given.request.top_p) == (0.7, 0.5)
    assert given.messages[0] == {"role": "system", "content": f"{CODER['params']['system']}\n\nBe short."}
    assert given.messages[1:] == ASK["messages"]
    await making.say("ok")
    await making.finish()
    assert (await asked).body["model"] == coder["id"]


async def test_a_chats_answer_carries_the_custom_models_prompt_and_parameters(
    eve: Client, services: Services, coder: dict[str, Any]
) -> None:
    chat_id = await eve.chat(models=[coder["id"]], params={"temperature": 0.1})
    reply = await eve.post(f"/api/chats/{chat_id}/messages", {"content": "hi"})
    assert reply.body["answer"]["model"] == coder["id"]
    making = await claim_next(services)
    given = await prompt(services, making)
    assert (making.spec.model, making.spec.served) == (coder["id"], "echo")
    assert (given.request.temperature, given.request.top_p) == (0.1, 0.9)
    assert [message["content"] for message in given.messages] == [CODER["params"]["system"], "hi"]


async def test_a_base_that_vanished_is_named_with_the_model(bob: Client, services: Services, coder: dict[str, Any]) -> None:
    assert coder
    await serve_models(services, msgspec.structs.replace(MODEL, id="other"))

    async def gone() -> bool:
        return {row["id"] for row in (await bob.get("/api/models/")).body["models"]} == {"other"}

    await until(gone, "neither is listed")
    refused = await bob.post("/v1/chat/completions", ASK)
    assert (refused.status, refused.body["error"]["code"]) == (404, "model_not_found")
    assert "'my-custom-model'" in refused.body["detail"]
    assert "'echo'" in refused.body["detail"]


@pytest.fixture
async def neighbour(settings: Settings, services: Services) -> AsyncIterator[Services]:
    """Another web process over the same stores."""
    assert services
    async with open_services(settings) as opened:
        yield opened


async def test_other_processes_hear_of_changes(bob: Client, services: Services, neighbour: Services) -> None:
    me = await services.users.authenticate(bob.token)

    async def listed() -> list[Model]:
        return [model for model in await neighbour.models.list(me) if model.base_model_id]

    assert await listed() == []
    await bob.post("/api/models/create", CODER)
    await until(listed, "the other process knows the model")
    await bob.delete("/api/models/my-custom-model")

    async def gone() -> bool:
        return not await listed()

    await until(gone, "the other process knows that it is gone")


async def test_a_refresh_is_asked_of_the_workers_but_not_too_often(bob: Client, services: Services) -> None:
    told: list[bytes] = []
    ready = asyncio.Event()

    async def hear() -> None:
        async for payload in services.events.hear(LOOK_TOPIC):
            ready.set()
            if payload is not None:
                told.append(payload)

    hearing = asyncio.create_task(hear())
    await ready.wait()
    for _ in range(3):
        assert (await bob.get("/api/models/?refresh=true")).status == 200
    await until(lambda: told, "the workers are told")
    assert len(told) == 1
    assert (await bob.get("/api/models/?refresh=perhaps")).status == 400
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)


async def test_models_for_chat_come_before_those_for_embeddings(bob: Client, services: Services) -> None:
    embedder = Model(id="a-first-name", name="A", owned_by="penstock", created=1, pool=Pool.GPU, tasks=(Task.EMBEDDING,))
    await serve_models(services, embedder, worker_id="embedders")
    assert (await bob.get("/v1/models/a-first-name")).status == 200
    assert [row["id"] for row in (await bob.get("/v1/models")).body["data"]] == ["echo", "a-first-name"]


async def test_a_workers_clock_that_is_slow_takes_no_model_away(bob: Client, services: Services) -> None:
    stored = msgspec.json.decode(await services.redis.hget("models", "by-hand") or b"")
    await services.redis.hset("models", "by-hand", msgspec.json.encode(stored | {"seen_at": 0}))
    await services.catalogue.refresh()
    assert [model["id"] for model in (await bob.get("/api/models")).body["models"]] == ["echo"]
