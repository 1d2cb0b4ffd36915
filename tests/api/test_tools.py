"""Tools in chats on every face, over an upstream that really calls them."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import openai
import pytest

from core.jobs import GENERATE, queue_of
from core.models.configs import FunctionRightChanges, FunctionRights
from core.models.pools import Pool
from core.redis.keys import waiting_key
from core.services import Services
from core.settings import Settings
from pipelines.upstreams.upstreams import Upstreams
from tests.api.conftest import Client
from tests.api.function_calls import WEATHER
from tests.api.socketio_client import connect_socket
from tests.api.test_sources import events_of, stored_in
from tests.called_functions import CalledFunctions
from tests.core.services.people import ADMIN
from tests.schema.transports import TRANSPORTS, Post, Transport
from tests.serving_models import serve_models
from tests.tool_models import FOUND, LOOKING
from tests.upstream import Upstream
from tests.worker_parts import working
from workers.actors.replies import Replies

MODELS = ("calling", "worded")
CALLS = json.dumps([{"name": "get_weather", "arguments": {"city": city}} for city in ("Ulm", "Rom")])
ASK: dict[str, Any] = {"model": "calling", "messages": [{"role": "user", "content": CALLS}]}
TEXT = f"{LOOKING}\n\n{FOUND}Sun in Ulm.|Sun in Rom."
MADE = [
    {"key": f"1.{place}", "name": "get_weather", "arguments": {"city": city}, "result": f"Sun in {city}."}
    for place, city in enumerate(("Ulm", "Rom"))
]
SEND = """
mutation ($chatId: ID!, $content: JSON!, $model: String, $toolIds: [ID!]) {
  sendMessage(input: {chatId: $chatId, content: $content, model: $model, toolIds: $toolIds}) { generationId }
}
"""
FOLLOW = """
subscription ($id: ID!) {
  generation(id: $id) {
    __typename
    ... on GenerationToolCall { key name arguments }
    ... on GenerationToolResult { key result }
    ... on GenerationStep { key }
  }
}
"""
READ = "query ($id: ID!) { chat(id: $id) { messages { nodes { role content toolCalls } } } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=0)


@pytest.fixture
def functions() -> CalledFunctions:
    return CalledFunctions(get_weather=lambda city: f"Sun in {city}.")


@pytest.fixture
async def upstream(services: Services, functions: CalledFunctions) -> AsyncIterator[Upstream]:
    """Relayed by a worker in this process."""
    async with Upstream(models=MODELS).serving() as serving:
        found = Upstreams(Settings(openai_base_urls=(serving.url,)))
        await found.open()
        await serve_models(services, *await found.refresh(), worker_id="relays")
        about: dict[str, Any] = {"claims": services.claims, "events": services.events, "answers": services.answers}
        replies = Replies(**about, generator=found, passages=cast("Any", None), calls=cast("Any", functions))
        async with working(services, "relay", {GENERATE[Pool.RELAY]: replies}, MODELS):
            yield serving
        await found.close()


@pytest.fixture
async def tool(bob: Client, services: Services, upstream: Upstream) -> str:
    """A function of Bob's."""
    assert upstream
    await services.configs.change(ADMIN, FunctionRights, FunctionRightChanges(user_ids=(bob.user["id"],)))
    reply = await bob.post("/api/functions/create", {"name": "weather", "content": WEATHER})
    assert reply.status == 201, reply
    tool_id: str = reply.body["id"]
    return tool_id


async def test_a_chats_answer_tells_each_step_and_keeps_the_calls(bob: Client, tool: str) -> None:
    chat_id = await bob.chat()
    sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": CALLS, "model": "calling", "tool_ids": [tool]})
    assert sent.status == 201, sent
    events = await events_of(bob, sent.body["generation_id"])
    kinds = [event["type"] for event in events if event["type"] not in {"delta", "waiting"}]
    assert [kind for kind in kinds if not kind.startswith("tool")] == ["started", "step", "choice_finished", "finished"]
    assert sorted(kinds[2:6]) == ["tool_call", "tool_call", "tool_result", "tool_result"]
    assert [(event["key"], event["arguments"]) for event in events if event["type"] == "tool_call"] == [
        ("1.0", {"city": "Ulm"}),
        ("1.1", {"city": "Rom"}),
    ]
    assert {event["key"]: event["result"] for event in events if event["type"] == "tool_result"}["1.0"] == {"result": "Sun in Ulm."}
    _, answer = await stored_in(bob, chat_id)
    assert (answer["content"], answer["tool_calls"], answer["done"]) == (TEXT, MADE, True)
    assert answer["usage"]["total_tokens"] == 30


async def test_what_a_chat_names_counts_and_later_turns_read_the_text_alone(bob: Client, tool: str, upstream: Upstream) -> None:
    chat_id = await bob.chat(models=["calling"], tool_ids=[tool])
    for _ in range(2):
        sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": CALLS})
        await events_of(bob, sent.body["generation_id"])
    assert [message["role"] for message in upstream.seen[2][0]["messages"]] == ["user", "assistant", "user"]
    assert upstream.seen[2][0]["messages"][1]["content"] == TEXT
    assert upstream.seen[2][0]["tools"][0]["function"]["name"] == "get_weather"
    sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": CALLS, "tool_ids": []})
    await events_of(bob, sent.body["generation_id"])
    assert "tools" not in upstream.seen[-1][0]


async def test_a_custom_model_brings_its_own_and_says_how_they_are_told(bob: Client, tool: str, upstream: Upstream) -> None:
    custom = {"name": "Mine", "id": "mine", "base_model": "worded", "params": {"function_calling": "default"}, "meta": {"toolIds": [tool]}}
    assert (await bob.post("/api/models/create", custom)).status == 201
    reply = await bob.post("/v1/chat/completions", {**ASK, "model": "mine"})
    assert reply.body["choices"][0]["message"]["content"] == f"{FOUND}Sun in Ulm.|Sun in Rom."
    assert len(upstream.seen) == 2, "nobody was asked with tools first"
    assert not any({"tools", "tool_ids", "params"} & set(body) for body, _ in upstream.seen)


@pytest.mark.parametrize("usage", [False, True])
async def test_the_openai_sdk_hears_one_answer_and_then_what_was_called(bob: Client, tool: str, *, usage: bool) -> None:
    named: Any = {"extra_body": {"tool_ids": [tool]}}
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/v1", api_key=bob.token, max_retries=0) as client:
        whole = await client.chat.completions.create(**ASK, **named)
        (choice,) = whole.choices
        assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == (TEXT, None, "stop")
        assert (whole.model_extra or {})["tool_calls"] == MADE
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK, **named, **options, stream=True)]
        answer = [chunk for chunk in chunks if chunk.choices]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == TEXT
        assert not any(chunk.choices[0].delta.tool_calls for chunk in answer)
        assert [chunk.choices[0].finish_reason for chunk in answer][-2:] == ["stop", None]
        assert (answer[-1].model_extra or {})["tool_calls"] == MADE
        assert (chunks[-1].usage is not None, len(chunks) - len(answer)) == (usage, int(usage))
        async with client.chat.completions.stream(**ASK, **named, **options) as stream:
            final = await stream.get_final_completion()
        assert (final.choices[0].message.content, final.choices[0].finish_reason) == (TEXT, "stop")


@pytest.mark.parametrize("stream", [False, True])
async def test_inline_tools_go_through_and_come_back(bob: Client, tool: str, functions: CalledFunctions, *, stream: bool) -> None:
    theirs: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/v1", api_key=bob.token, max_retries=0) as client:
        for named in ({}, {"extra_body": {"tool_ids": [tool]}}):
            asked: Any = {**ASK, **named, "tools": [theirs]}
            if stream:
                async with client.chat.completions.stream(**asked) as chunks:
                    whole: Any = await chunks.get_final_completion()
            else:
                whole = await client.chat.completions.create(**asked)
            (choice,) = whole.choices
            assert choice.finish_reason == "tool_calls"
            calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]
            assert calls == [("c0", "get_weather", {"city": "Ulm"}), ("c1", "get_weather", {"city": "Rom"})]
    assert functions.made == []


async def test_socket_io_hears_each_step_and_the_whole(bob: Client, tool: str) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        asked = {"chat_id": chat_id, "model": "calling", "message": {"content": CALLS, "tool_ids": [tool]}}
        assert (await socket.call("message", asked))["ok"]
        await socket.hears(2)
        pieces = [data["message"] for data in socket.of("message") if data["delta"]]
        assert [piece["tool_call"]["arguments"] for piece in pieces if "tool_call" in piece] == [{"city": "Ulm"}, {"city": "Rom"}]
        assert {piece["tool_result"]["key"]: piece["tool_result"]["result"] for piece in pieces if "tool_result" in piece} == {
            "1.0": "Sun in Ulm.",
            "1.1": "Sun in Rom.",
        }
        assert socket.pieces() == TEXT
        assert (socket.wholes()[1]["content"], socket.wholes()[1]["tool_calls"]) == (TEXT, MADE)


@pytest.mark.parametrize("kind", [kind for kind in TRANSPORTS if kind.streams])
async def test_graphql_tells_each_step_and_keeps_the_calls(bob: Client, tool: str, kind: type[Transport]) -> None:
    transport, chat_id = kind(bob.url), await bob.chat()
    sent = await transport.ask(SEND, bob.token, chatId=chat_id, content=CALLS, model="calling", toolIds=[tool])
    generation_id = sent["data"]["sendMessage"]["generationId"]
    heard = [event["data"]["generation"] async for event in transport.listen(FOLLOW, bob.token, id=generation_id)]
    assert [event["arguments"] for event in heard if event["__typename"] == "GenerationToolCall"] == [{"city": "Ulm"}, {"city": "Rom"}]
    results = {event["key"]: event["result"] for event in heard if event["__typename"] == "GenerationToolResult"}
    assert results == {"1.0": {"result": "Sun in Ulm."}, "1.1": {"result": "Sun in Rom."}}
    read = await transport.ask(READ, bob.token, id=chat_id)
    answer = read["data"]["chat"]["messages"]["nodes"][1]
    assert (answer["content"], answer["toolCalls"]) == (TEXT, MADE)


async def test_a_stranger_gets_nothing_on_any_face_and_nothing_is_begun(
    eve: Client, tool: str, services: Services, functions: CalledFunctions
) -> None:
    chat_id, named = await eve.chat(), await eve.chat(models=["calling"], tool_ids=[tool])
    async with connect_socket(eve) as socket:
        for tool_id in (tool, "no such tool"):
            replies = [
                await eve.post("/v1/chat/completions", {**ASK, "tool_ids": [tool_id]}),
                await eve.post("/v1/chat/completions", {**ASK, "tool_ids": [tool_id], "stream": True}),
                await eve.post(f"/api/chats/{chat_id}/messages", {"content": "x", "model": "calling", "tool_ids": [tool_id]}),
            ]
            assert [reply.status for reply in replies] == [404] * 3
            refused = await socket.call(
                "message", {"chat_id": chat_id, "model": "calling", "message": {"content": "x", "tool_ids": [tool_id]}}
            )
            assert (refused["ok"], refused["error"]["code"]) == (False, "not_found")
            answer = await Post(eve.url).ask(SEND, eve.token, chatId=chat_id, content="x", model="calling", toolIds=[tool_id])
            assert answer["errors"][0]["extensions"]["code"] == "not_found"
    assert (await eve.post(f"/api/chats/{named}/messages", {"content": "x"})).status == 404
    assert await stored_in(eve, chat_id) == []
    assert functions.made == []
    assert await services.scripts.command("LLEN", waiting_key(queue_of("relay_reply", "calling"))) == 0


async def test_what_cannot_be_asked_for_is_refused_by_its_field(bob: Client, tool: str) -> None:
    assert (await bob.post(f"/api/functions/{tool}/toggle", {})).status == 200
    off = await bob.post("/v1/chat/completions", {**ASK, "tool_ids": [tool]})
    assert (off.status, off.body["error"]["param"]) == (403, "tool_ids")
    assert (await bob.post(f"/api/functions/{tool}/toggle", {})).status == 200
    many = await bob.post("/v1/chat/completions", {**ASK, "tool_ids": [tool], "n": 2})
    assert (many.status, many.body["error"]["param"]) == (400, "n")
    for wrong in ("x", [1], ["x"] * 51):
        reply = await bob.post("/v1/chat/completions", {**ASK, "tool_ids": wrong})
        assert (reply.status, reply.body["error"]["param"].startswith("tool_ids")) == (400, True), reply
