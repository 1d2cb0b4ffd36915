"""Errors on OpenAI's routes, as its own client reads them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web

from tests.api.conftest import Client, sign_up
from tests.polling import until

BASES = ("/v1", "/api/openai/v1")
HI: list[Any] = [{"role": "user", "content": "hi"}]
Call = Callable[[openai.AsyncOpenAI], Awaitable[Any]]

EVERY_CALL: list[Call] = [
    lambda client: client.models.list(),
    lambda client: client.models.retrieve("echo"),
    lambda client: client.chat.completions.create(model="echo", messages=HI),
    lambda client: client.chat.completions.create(model="echo", messages=HI, stream=True),
    lambda client: client.embeddings.create(model="echo", input="x"),
]


@asynccontextmanager
async def sdk(client: Client, base: str = BASES[0], *, key: str | None = None) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=client.url + base, api_key=key or client.token, max_retries=0) as made:
        yield made


async def refused(call: Awaitable[Any], kind: type[openai.APIStatusError]) -> openai.APIStatusError:
    """The error that the client raises: exactly that class, with OpenAI's object, and ``detail`` beside it."""
    with pytest.raises(kind) as raised:
        await call
    error = raised.value
    assert type(error) is kind
    body = error.response.json()
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["detail"] == body["error"]["message"]
    return error


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("call", EVERY_CALL)
async def test_a_key_that_is_none_is_an_authentication_error(visitor: Client, base: str, call: Call) -> None:
    async with sdk(visitor, base, key="sk-nothing") as client:
        error = await refused(call(client), openai.AuthenticationError)
    assert (error.type, error.code) == ("authentication_error", "invalid_api_key")


@pytest.mark.parametrize("base", BASES)
async def test_what_is_not_there_is_a_not_found_error(bob: Client, base: str) -> None:
    async with sdk(bob, base) as client:
        missing: list[Awaitable[Any]] = [
            client.models.retrieve("nope"),
            client.chat.completions.create(model="nope", messages=HI),
            client.embeddings.create(model="nope", input="x"),
        ]
        for call in missing:
            assert (await refused(call, openai.NotFoundError)).code == "model_not_found"
        for unknown in (client.completions.create(model="echo", prompt="x"), client.files.list(), client.images.generate(prompt="x")):
            assert (await refused(unknown, openai.NotFoundError)).code == "not_found"


@pytest.mark.parametrize("base", BASES)
async def test_what_cannot_be_used_is_a_bad_request_error_that_names_the_field(bob: Client, base: str) -> None:
    async with sdk(bob, base) as client:
        unusable: list[tuple[Awaitable[Any], str | None]] = [
            (client.chat.completions.create(model="echo", messages=HI, temperature=3), "temperature"),
            (client.chat.completions.create(model="echo", messages=[]), "messages"),
            (client.chat.completions.create(model="echo", messages=HI, n=17), "n"),
            (client.chat.completions.create(model="echo", messages=HI, stream=True, top_logprobs=21), "top_logprobs"),
            (client.embeddings.create(model="echo", input=""), "input"),
            (client.post("/chat/completions", cast_to=object, content=b"{not json"), None),
            (client.post("/embeddings", cast_to=object, content=b""), None),
            (client.post("/embeddings", cast_to=object, body=["a list"]), None),
        ]
        for call, param in unusable:
            error = await refused(call, openai.BadRequestError)
            assert (error.type, error.param) == ("invalid_request_error", param)


async def test_a_user_who_may_not_is_a_permission_error(ada: Client, visitor: Client) -> None:
    waiting = await sign_up(visitor, "Waiting")
    demoted = await ada.post(f"/api/users/{waiting.user['id']}/role", {"role": "pending"})
    assert demoted.status in {200, 201}, demoted
    async with sdk(waiting) as client:
        for call in EVERY_CALL:
            assert (await refused(call(client), openai.PermissionDeniedError)).type == "permission_error"


async def test_the_frameworks_own_refusals_have_the_same_shape(bob: Client, app: web.Application) -> None:
    app._client_max_size = 1000
    async with sdk(bob) as client:
        method = await refused(client.get("/chat/completions", cast_to=object), openai.APIStatusError)
        large = await refused(client.embeddings.create(model="echo", input="x" * 2000), openai.APIStatusError)
    assert (method.status_code, large.status_code) == (405, 413)
    assert method.response.headers["Allow"] == "POST"


async def test_too_many_requests_are_a_rate_limit_error_that_says_when(ada: Client, bob: Client) -> None:
    limited = await ada.post("/api/configs/rate_limits", {"requests_per_minute": 1})
    assert limited.status == 200, limited
    async with sdk(bob) as client:

        async def reached() -> bool:
            try:
                await client.models.list()
            except openai.RateLimitError:
                return True
            return False

        await until(reached, "the limit is known and reached")
        for call in EVERY_CALL:
            error = await refused(call(client), openai.RateLimitError)
            assert (error.type, error.code) == ("rate_limit_error", "rate_limit_exceeded")
            assert int(error.response.headers["Retry-After"]) > 0
