from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from core.errors import (
    BadRequest,
    ModelNotFound,
    UpstreamAuth,
    UpstreamBroken,
    UpstreamError,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta
from core.models.generations import GenerationSpec
from core.settings import Settings
from pipelines.chat import Prompt, prompt_of
from pipelines.upstreams.upstreams import Upstreams
from tests.polling import until
from tests.upstream import WORDS, Upstream

MODELS = ("echo", "words", "breaking", "slow", "limited", "failing", "picky", "stuck", "knowing")


def prompt(model: str, **members: Any) -> Prompt:
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "hello"}], **members})
    return prompt_of(GenerationSpec(id="1", user_id="u", model=model, seed=1, created_at=1), body)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(models=MODELS).serving() as serving:
        yield serving


async def opened(*urls: str, **settings: Any) -> Upstreams:
    upstreams = Upstreams(Settings(openai_base_urls=urls, **settings))
    await upstreams.open()
    await upstreams.refresh()
    return upstreams


@pytest.fixture
async def upstreams(upstream: Upstream) -> AsyncIterator[Upstreams]:
    found = await opened(upstream.url, upstream_timeout_s=1)
    yield found
    await found.close()


async def parts(upstreams: Upstreams, asked: Prompt) -> list[Delta | ChoiceFinished | Usage]:
    return [part async for part in upstreams.generate(asked)]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_comes_with_its_end_and_its_usage(upstreams: Upstreams, stream: bool) -> None:  # noqa: FBT001 - a parameter
    found = await parts(upstreams, prompt("words", stream=stream))
    assert "".join(part.text for part in found if isinstance(part, Delta)) == "".join(WORDS)
    assert found[-2:] == [ChoiceFinished(finish_reason="stop"), Usage(prompt_tokens=3, completion_tokens=64, total_tokens=67)]


async def test_what_we_do_not_read_still_travels(upstreams: Upstreams, upstream: Upstream) -> None:
    await parts(upstreams, prompt("echo", tools=[{"type": "function"}], logprobs=True, user="private"))
    body, _ = upstream.seen[-1]
    assert (body["tools"], body["logprobs"]) == ([{"type": "function"}], True)
    assert "user" not in body


async def test_a_custom_models_system_prompt_goes_before_the_messages_and_whatever_was_said_twice_goes_once(
    upstreams: Upstreams, upstream: Upstream
) -> None:
    body = b'{"model":"c", "messages":[{"role":"user","content":"hello"}],"big":123456789012345678901234567890,"model":"echo","user":"u"}'
    spec = GenerationSpec(id="1", user_id="u", model="c", base_model="echo", system="S", seed=1, created_at=1)
    await parts(upstreams, prompt_of(spec, body))
    assert upstream.seen[-1][0] == {
        "model": "echo",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hello"}],
        "big": 123456789012345678901234567890,
    }


async def test_what_open_webuis_clients_tell_their_own_server_stays_here(upstreams: Upstreams, upstream: Upstream) -> None:
    about = {"id": "m", "chat_id": "c", "session_id": "s", "model_item": {"id": "echo"}, "variables": {"{{USER_NAME}}": "Ann"}}
    empty: dict[str, Any] = {
        "features": {"web_search": False},
        "params": {},
        "files": [],
        "tool_ids": None,
        "background_tasks": {"title_generation": True},
    }
    await parts(upstreams, prompt("echo", **about, **empty, filter_ids=[], tool_servers=[], parent_message={}))
    assert set(upstream.seen[-1][0]) == {"model", "messages"}
    await parts(upstreams, prompt("echo", features={"web_search": True}, files=[{"type": "file", "id": "f"}], knowledge_ids=["b"]))
    assert set(upstream.seen[-1][0]) == {"model", "messages", "features"}, "nobody is to believe that this was done"


async def test_models_of_all_servers_are_listed_and_a_server_that_is_down_costs_only_its_own(upstream: Upstream) -> None:
    found = await opened("http://127.0.0.1:9/v1", upstream.url)
    assert {model.id for model in await found.refresh()} == set(MODELS)
    assert list(found.errors) == ["http://127.0.0.1:9/v1"]
    await found.close()


async def test_two_servers_of_one_model_share_the_load(upstream: Upstream) -> None:
    async with Upstream(models=("slow",)).serving() as second:
        found = await opened(upstream.url, second.url)
        async with (
            aclosing(found.generate(prompt("slow", stream=True))) as one,
            aclosing(found.generate(prompt("slow", stream=True))) as two,
        ):
            await anext(one)
            await anext(two)
        assert (len(upstream.seen), len(second.seen)) == (1, 1)
        await found.close()


async def test_a_server_that_fails_before_its_first_token_is_stood_in_for(upstream: Upstream) -> None:
    async with Upstream(models=("echo",), key="other").serving() as refusing:
        found = await opened(upstream.url, refusing.url)
        found._endpoints[1].models = found._endpoints[0].models
        found._endpoints[0].running = 1
        assert [part.text for part in await parts(found, prompt("echo", stream=True)) if isinstance(part, Delta)] == ["hello"]
        assert len(refusing.seen) == 1
        await found.close()


async def test_a_break_in_the_middle_keeps_what_came_and_is_not_retried(upstreams: Upstreams, upstream: Upstream) -> None:
    came: list[Delta | ChoiceFinished | Usage] = []

    async def read() -> None:
        async for part in upstreams.generate(prompt("breaking", stream=True)):
            came.append(part)  # noqa: PERF401 - what came before the error is what is tested

    with pytest.raises(UpstreamBroken, match="in the middle"):
        await read()
    assert len(came) == 10
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("limited", UpstreamLimited, "Slow down"),
        ("failing", UpstreamError, "fell over"),
        ("picky", BadRequest, "too hot"),
        ("nobody's", ModelNotFound, "No configured"),
    ],
)
async def test_an_upstreams_error_becomes_a_clear_one_of_ours(upstreams: Upstreams, model: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        await parts(upstreams, prompt(model))
    assert getattr(caught.value, "retry_after", None) == (7 if model == "limited" else None)


async def test_a_server_that_says_nothing_times_out(upstreams: Upstreams, upstream: Upstream) -> None:
    with pytest.raises(UpstreamTimeout):
        await parts(upstreams, prompt("stuck"))
    upstream.release.set()


async def test_a_server_that_went_away_is_named_and_no_key_is_shown() -> None:
    async with Upstream(models=("echo",), key="sk-secret").serving() as upstream:
        found = await opened(upstream.url, openai_api_keys=("sk-secret",))
    with pytest.raises(UpstreamRefused, match="cannot be reached") as caught:
        await parts(found, prompt("echo"))
    assert "sk-secret" not in str(caught.value)
    await found.close()


async def test_a_wrong_key_says_which_setting_to_look_at() -> None:
    async with Upstream(models=("echo",), key="sk-right").serving() as upstream:
        found = await opened(upstream.url, openai_api_keys=("sk-right",))
        upstream.key = "sk-changed"
        with pytest.raises(UpstreamAuth, match="PENSTOCK_OPENAI_API_KEYS"):
            await parts(found, prompt("echo"))
        await found.close()


async def test_closing_the_answer_closes_the_upstreams_connection(upstreams: Upstreams, upstream: Upstream) -> None:
    async with aclosing(upstreams.generate(prompt("slow", stream=True))) as answer:
        await anext(answer)
    await until(lambda: upstream.closed_early, "the upstream sees the connection closed")


async def test_whatever_a_request_holds_reaches_the_upstream_as_it_came(upstreams: Upstreams, upstream: Upstream) -> None:
    image = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    members = {
        "messages": [{"role": "user", "content": image}],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
        "logprobs": True,
        "top_logprobs": 1,
        "n": 2,
        "metadata": {"a": "b"},
        "store": True,
        "reasoning_effort": "low",
        "something_new": [1, {"x": None}],
    }
    await parts(upstreams, prompt("knowing", **members))
    assert upstream.seen[-1][0] == {"model": "knowing", **members}


@pytest.mark.parametrize("stream", [False, True])
async def test_probabilities_tool_calls_choices_and_details_of_usage_come_back(upstreams: Upstreams, stream: bool) -> None:  # noqa: FBT001
    given = await parts(upstreams, prompt("knowing", n=2, stream=stream))
    for choice in (0, 1):
        deltas = [part for part in given if isinstance(part, Delta) and part.choice == choice]
        told = [one for delta in deltas if delta.logprobs for one in delta.logprobs.content or ()]
        assert [(one.token, one.logprob, one.bytes, one.top_logprobs[0].token) for one in told] == [("H", -0.5, [72], "H")] * 2
        assert "".join(delta.text for delta in deltas) == "Hi"
        assert any((delta.extra or {}).get("tool_calls") for delta in deltas)
    assert given[-1] == Usage(
        prompt_tokens=9,
        completion_tokens=4,
        total_tokens=13,
        prompt_tokens_details={"cached_tokens": 8},
        completion_tokens_details={"reasoning_tokens": 2},
    )
