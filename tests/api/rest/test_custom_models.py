"""Custom models, many and large, and those that nobody can ask."""

from functools import partial
from typing import Any

import pytest

from core.services import Services
from core.services.models import models
from tests.api.conftest import Client
from tests.api.rest.test_models import coder
from tests.polling import until
from tests.serving_models import serve_models

__all__ = ["coder"]


async def test_nobody_fills_everybodys_list(ada: Client, bob: Client, coder: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"x": "y" * 262_144}
    for part in ("meta", "params"):
        for path, body in (("create", {"name": "large", "base_model": "echo"}), (coder["id"], {})):
            refused = await bob.post(f"/api/models/{path}", body | {part: large})
            assert (refused.status, part in refused.body["detail"]) == (400, True)
    monkeypatch.setattr(models, "MAX_PER_USER", 2)
    for client, answers in ((bob, [201, 400]), (ada, [201, 201, 201])):
        for number, status in enumerate(answers):
            body = {"name": f"{client.user['name']} {number}", "base_model": "echo"}
            assert (await client.post("/api/models/create", body)).status == status


async def test_owners_and_administrators_find_models_that_nobody_can_ask(
    ada: Client, bob: Client, eve: Client, services: Services, coder: dict[str, Any]
) -> None:
    assert (await eve.post("/api/models/create", {"name": "eves", "base_model": "echo"})).status == 201
    off = (await bob.post("/api/models/model/toggle?id=my-custom-model", None)).body
    assert off == coder | {"is_active": False, "updated_at": off["updated_at"]}
    await serve_models(services)
    await until(lambda: not_served(eve), "no model is served")
    for client, found in ((ada, ["eves", "my-custom-model"]), (bob, ["my-custom-model"]), (eve, ["eves"])):
        assert [model["id"] for model in (await client.get("/api/models/custom")).body] == found
    assert (await bob.get("/api/models/custom")).body == [off]


async def not_served(client: Client) -> bool:
    return not (await client.get("/api/models/")).body["models"]


async def lists(client: Client, expected: list[str]) -> bool:
    """Whether these custom models are listed: a process hears of another's a moment later."""
    listed = await client.get("/api/models/custom")
    assert listed.status == 200
    return [model["id"] for model in listed.body] == expected


async def test_what_is_nested_too_deeply_is_refused_and_nothing_is_stored_that_cannot_be_read(ada: Client, elsewhere: str) -> None:
    there = Client(elsewhere, ada.session, ada.user, ada.token)
    statuses = set()
    for levels in range(300, 1_000, 20):
        name = f"deep-{levels}"
        nested = b"[" * levels + b"]" * levels
        for number in (b"1", b"1.0"):
            body = b'{"name": "%s", "base_model": "echo", "params": {"seed": %s}, "meta": {"x": %s}}' % (name.encode(), number, nested)
            created = await ada.post("/api/models/create", body)
            statuses.add(created.status)
            assert created.status in {201, 400}, (levels, created)
            await until(partial(lists, there, [name] if created.status == 201 else []), "the other process has heard of it")
            assert (await ada.get("/api/models/")).status == 200
            if created.status == 201:
                assert (await there.delete(f"/api/models/{name}")).status == 200
    assert statuses == {201, 400}
