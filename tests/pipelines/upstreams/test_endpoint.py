import base64
from typing import Any

import pytest
from aiohttp import web

from core.models.pools import Pool
from core.settings import Settings
from pipelines.upstreams import endpoint
from pipelines.upstreams.upstreams import Upstreams
from tests.ollama import Ollama
from tests.upstream import Upstream


async def opened(**settings: Any) -> Upstreams:
    upstreams = Upstreams(Settings(**settings))
    await upstreams.open()
    return upstreams


async def test_ollamas_models_come_with_its_own_times_and_sizes() -> None:
    async with Ollama(models=("llama3.3:70b",)).serving() as ollama:
        upstreams = await opened(ollama_base_urls=(ollama.url,))
        (model,) = await upstreams.refresh()
        await upstreams.close()
    assert (model.id, model.name, model.owned_by, model.pool) == ("llama3.3:70b", "Llama 3.3 70B", "ollama", Pool.RELAY)
    assert (model.created, model.size_bytes) == (1_699_560_000, 4096)


async def test_an_openai_servers_models_keep_their_owner_and_time() -> None:
    async with Upstream(models=("gpt-4",)).serving() as upstream:
        upstreams = await opened(openai_base_urls=(upstream.url,))
        (model,) = await upstreams.refresh()
        await upstreams.close()
    assert (model.id, model.name, model.owned_by, model.created) == ("gpt-4", "GPT-4", "test", 1)


async def test_a_model_without_owner_and_time_is_openais_since_it_was_first_seen(unused_tcp_port: int) -> None:
    app = web.Application()
    app.router.add_get("/v1/models", _bare)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    upstreams = await opened(openai_base_urls=(f"http://127.0.0.1:{unused_tcp_port}/v1",))
    (model,) = await upstreams.refresh()
    assert (model.owned_by, await upstreams.refresh()) == ("openai", [model])
    await upstreams.close()
    await runner.cleanup()


async def _bare(_request: web.Request) -> web.Response:
    return web.json_response({"data": [{"id": "m"}]})


async def test_a_server_that_went_away_is_remembered_for_a_while_and_costs_its_own_models_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Upstream(models=("stays",)).serving() as staying:
        async with Ollama(models=("goes",)).serving() as leaving:
            upstreams = await opened(openai_base_urls=(staying.url,), ollama_base_urls=(leaving.url,))
            await upstreams.refresh()
        assert {model.id for model in await upstreams.refresh()} == {"stays", "goes"}
        monkeypatch.setattr(endpoint, "REMEMBERED_S", 0.0)
        assert {model.id for model in await upstreams.refresh()} == {"stays"}
        assert list(upstreams.errors) == [f"{leaving.url}/v1"]
        await upstreams.close()


async def test_a_user_and_password_in_its_address_are_sent_and_told_nobody(unused_tcp_port: int) -> None:
    seen: list[str] = []

    async def listed(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.json_response({"data": [{"id": "m"}]} if len(seen) == 1 else {"no": "list"})

    app = web.Application()
    app.router.add_get("/v1/models", listed)
    app.router.add_get("/api/tags", listed)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    place = f"127.0.0.1:{unused_tcp_port}"
    upstreams = await opened(openai_base_urls=(f"http://ann:s3%40cret@{place}/v1",))
    assert [model.id for model in await upstreams.refresh()] == ["m"]
    both = await opened(openai_base_urls=(f"http://ann:s3%40cret@{place}/v1",), openai_api_keys=("sk-key",))
    ollama = await opened(ollama_base_urls=(f"http://ann:s3%40cret@{place}",))
    assert not await ollama.refresh()
    await both.refresh()
    await runner.cleanup()
    for asked in (upstreams, ollama, both):
        await asked.refresh()
        assert asked.errors
        assert "cret" not in str(asked.errors)
        await asked.close()
    basic = "Basic " + base64.b64encode(b"ann:s3@cret").decode()
    assert seen == [basic, basic, "Bearer sk-key"]
