import asyncio
from typing import Any

import msgspec
import openai
import pytest

from core.models.completions import Logprobs, TokenLogprob
from core.models.events import Cancelled, Delta, Started
from core.models.jobs import JobStatus
from core.services import Services
from tests.api.conftest import Client
from tests.api.manual_jobs import ManualJob, claim_next

ASK: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
PATHS = ("/api/openai/v1/chat/completions", "/api/chat/completions", "/v1/chat/completions")


async def lines_of(response: Any) -> list[str]:
    text: str = (await response.read()).decode()
    return text.splitlines()


def chunks_in(lines: list[str]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: {")]


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_answer_has_openais_shape(bob: Client, services: Services, path: str) -> None:
    asked = asyncio.create_task(bob.post(path, ASK))
    making = await claim_next(services)
    await making.say("Hel", "lo")
    await making.finish()
    reply = await asked
    assert reply.status == 200
    assert reply.headers["X-Generation-Id"] == making.claim.spec.id
    assert reply.body == {
        "id": f"chatcmpl-{making.claim.spec.id}",
        "object": "chat.completion",
        "created": making.claim.spec.created_at,
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }


async def test_a_stream_has_openais_chunks_and_ends_with_done(bob: Client, services: Services) -> None:
    async with bob.session.post(bob.url + PATHS[0], json=ASK | {"stream": True}, headers=bob.headers) as response:
        making = await claim_next(services)
        await making.say("Hel", "", "lo")
        await making.finish(finish_reason="length")
        lines = await lines_of(response)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["X-Generation-Id"] == making.claim.spec.id
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = chunks_in(lines)
    assert all(chunk["id"] == f"chatcmpl-{making.claim.spec.id}" and chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert all("usage" not in chunk for chunk in chunks)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [{"role": "assistant", "content": "Hel"}, {"content": "lo"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "length"]


async def test_with_include_usage_every_chunk_has_one_and_the_last_has_no_choices(bob: Client, services: Services) -> None:
    body = ASK | {"stream": True, "stream_options": {"include_usage": True}}
    async with bob.session.post(bob.url + PATHS[0], json=body, headers=bob.headers) as response:
        making = await claim_next(services)
        await making.say("x")
        await making.finish()
        chunks = chunks_in(await lines_of(response))
    assert [chunk["usage"] for chunk in chunks] == [None, None, {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}]
    assert chunks[-1]["choices"] == []


async def test_the_openai_sdk_reads_streams_choices_and_tool_calls(bob: Client, services: Services) -> None:
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/v1", api_key=bob.token, max_retries=0) as client:
        asked = asyncio.create_task(client.chat.completions.create(**ASK, n=2, stream=True))
        making = await claim_next(services)
        await making.append(Started(model="echo", attempt=1, fingerprint="f1"))
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
        await making.say("a", choice=0)
        await making.say("b", choice=1)
        await making.say("", extra={"tool_calls": [call]})
        await making.say("", extra={"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]})
        await making.finish(choices=2, finish_reason="tool_calls")
        seen: dict[int, str] = {0: "", 1: ""}
        arguments = ""
        async for chunk in await asked:
            assert chunk.system_fingerprint == "f1"
            for choice in chunk.choices:
                seen[choice.index] += choice.delta.content or ""
                arguments += "".join(call.function.arguments or "" for call in choice.delta.tool_calls or [] if call.function)
        assert (seen, arguments) == ({0: "a", 1: "b"}, '{"x":1}')
        models = [model.id async for model in client.models.list()]
        assert models == ["echo"]
        assert (await client.models.retrieve("echo")).owned_by == "penstock"


async def test_pieces_of_tool_calls_become_whole_ones(bob: Client, services: Services) -> None:
    asked = asyncio.create_task(bob.post(PATHS[0], ASK))
    making = await claim_next(services)
    for piece in (
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":'}},
        {"index": 0, "function": {"arguments": "1}"}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ):
        await making.say("", extra={"tool_calls": [piece]})
    await making.say("", extra={"reasoning_content": "be"})
    await making.say("", extra={"reasoning_content": "cause"})
    await making.finish(finish_reason="tool_calls")
    message = (await asked).body["choices"][0]["message"]
    assert message == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
        "reasoning_content": "because",
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("context_length_exceeded", 400, "invalid_request_error"),
        ("upstream_rate_limited", 429, "rate_limit_error"),
        ("upstream_timeout", 504, "server_error"),
    ],
)
async def test_a_failure_before_the_first_token_is_an_http_error(
    bob: Client, services: Services, *, stream: bool, code: str, status: int, kind: str
) -> None:
    asked = asyncio.create_task(bob.post(PATHS[0], ASK | {"stream": stream}))
    making = await claim_next(services)
    await making.fail(code, "It went wrong.", retry_after=7)
    reply = await asked
    assert (reply.status, reply.headers["Retry-After"]) == (status, "7")
    assert reply.body == {"detail": "It went wrong.", "error": {"message": "It went wrong.", "type": kind, "param": None, "code": code}}


async def test_a_failure_in_the_middle_is_an_event_and_there_is_no_done(bob: Client, services: Services) -> None:
    async with bob.session.post(bob.url + PATHS[0], json=ASK | {"stream": True}, headers=bob.headers) as response:
        making = await claim_next(services)
        await making.say("half")
        await making.fail("upstream_broken", "It broke off.")
        lines = await lines_of(response)
    assert response.status == 200
    assert chunks_in(lines)[-1] == {"error": {"message": "It broke off.", "type": "server_error", "param": None, "code": "upstream_broken"}}
    assert "data: [DONE]" not in lines


async def test_a_failure_in_the_middle_of_a_whole_answer_is_an_http_error(bob: Client, services: Services) -> None:
    asked = asyncio.create_task(bob.post(PATHS[0], ASK))
    making = await claim_next(services)
    await making.say("half")
    await making.fail("upstream_broken", "It broke off.")
    assert (await asked).status == 502


async def test_headers_and_a_sign_of_life_come_before_a_slow_first_token(bob: Client, services: Services) -> None:
    async with bob.session.post(bob.url + PATHS[0], json=ASK | {"stream": True}, headers=bob.headers) as response:
        assert response.status == 200
        assert (await response.content.readline()).startswith(b":")
        making = await claim_next(services)
        await making.fail("upstream_timeout", "Too slow.")
        assert chunks_in(await lines_of(response))[-1]["error"]["code"] == "upstream_timeout"


async def test_a_stopped_answer_ends_as_if_it_were_complete(bob: Client, services: Services) -> None:
    asked = asyncio.create_task(bob.post(PATHS[0], ASK))
    async with bob.session.post(bob.url + PATHS[0], json=ASK | {"stream": True}, headers=bob.headers) as response:
        for _ in range(2):
            making = await claim_next(services)
            await making.say("part")
            await making.append(Cancelled(), end=JobStatus.CANCELLED)
        lines = await lines_of(response)
    assert chunks_in(lines)[-1]["choices"][0]["finish_reason"] == "stop"
    assert lines[-2] == "data: [DONE]"
    whole = await asked
    assert whole.body["choices"][0] | {"logprobs": None} == {
        "index": 0,
        "message": {"role": "assistant", "content": "part", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert "usage" not in whole.body


async def test_an_answer_that_went_on_elsewhere_says_how_well(bob: Client, services: Services) -> None:
    asked = asyncio.create_task(bob.post(PATHS[0], ASK))
    making = await claim_next(services)
    await making.say("a")
    await services.claims.hand_back(making.claim)
    again = await services.claims.claim(making.claim.spec.id, "another")
    assert again
    other = ManualJob(services, again)
    await other.append(Started(model="echo", attempt=again.epoch, continued="equivalent", fingerprint="f2"))
    await other.say("b")
    await other.finish()
    reply = await asked
    assert (reply.body["continued"], reply.body["choices"][0]["message"]["content"]) == ("equivalent", "ab")
    assert reply.body["system_fingerprint"] == "f2"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (ASK | {"temperature": 3}, "temperature"),
        (ASK | {"messages": []}, "messages"),
        (ASK | {"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": ASK["messages"]}, "model"),
        (b"{", None),
        (b"\xff", None),
        (b'{"model":"echo","messages":[{"role":"user","content":' + b"[" * 100_000, None),
    ],
)
async def test_a_request_that_cannot_be_used_names_the_field(bob: Client, body: Any, param: str | None) -> None:
    reply = await bob.post(PATHS[0], body)
    assert (reply.status, reply.body["error"]["type"]) == (400, "invalid_request_error")
    assert reply.body["error"]["param"] == param
    assert reply.body["detail"] == reply.body["error"]["message"]


async def test_what_openai_and_vllm_let_stand_at_the_border_is_taken(bob: Client, services: Services) -> None:
    asked = asyncio.create_task(bob.post(PATHS[0], ASK | {"temperature": 0, "top_p": 0, "top_k": -1, "max_tokens": 1, "seed": -1}))
    await (await claim_next(services)).finish()
    reply = await asked
    assert reply.status == 200, reply.body


async def test_an_unknown_model_is_openais_model_not_found(bob: Client) -> None:
    reply = await bob.post(PATHS[0], ASK | {"model": "nope"})
    assert (reply.status, reply.body["error"]["code"], reply.body["error"]["param"]) == (404, "model_not_found", "model")


def told(token: str) -> Logprobs:
    return Logprobs(content=[TokenLogprob(token=token, logprob=-0.5, bytes=list(token.encode()), top_logprobs=[])])


async def test_probabilities_come_in_openais_shape_streamed_and_whole(bob: Client, services: Services) -> None:
    body = {**ASK, "logprobs": True}
    entries = [{"token": token, "logprob": -0.5, "bytes": [ord(token)], "top_logprobs": []} for token in "ab"]
    asked = asyncio.create_task(bob.post(PATHS[0], body))
    async with bob.session.post(bob.url + PATHS[0], json={**body, "stream": True}, headers=bob.headers) as response:
        for _ in range(2):
            making = await claim_next(services)
            await making.append(Delta(text="", tokens=(1,), logprobs=told("a")), Delta(text="ab", tokens=(2,), logprobs=told("b")))
            await making.finish()
        chunks = chunks_in(await lines_of(response))
    assert [chunk["choices"][0]["logprobs"] for chunk in chunks] == [
        {"content": [entries[0]], "refusal": None},
        {"content": [entries[1]], "refusal": None},
        None,
    ]
    assert (await asked).body["choices"][0]["logprobs"] == {"content": entries, "refusal": None}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
    ],
)
async def test_what_a_local_model_cannot_do_is_openais_unsupported_parameter(bob: Client, members: Any, param: str) -> None:
    reply = await bob.post(PATHS[0], ASK | members)
    assert (reply.status, reply.body["error"]["code"], reply.body["error"]["param"]) == (400, "unsupported_parameter", param)


async def test_nor_is_an_image_in_a_chat_of_a_local_model_taken(bob: Client) -> None:
    chat = await bob.chat()
    reply = await bob.post(f"/api/chats/{chat}/messages", {"content": [{"type": "image_url", "image_url": {"url": "x"}}]})
    assert reply.status == 400
    assert "read text only" in reply.body["detail"]


async def test_an_answer_has_the_choices_that_were_made_whatever_was_asked(bob: Client, services: Services) -> None:
    asked = asyncio.create_task(bob.post(PATHS[0], ASK | {"n": 2}))
    making = await claim_next(services)
    await making.say("only one")
    await making.finish()
    assert [choice["index"] for choice in (await asked).body["choices"]] == [0]
