"""What is said in a chat over REST, and what the chat itself has to say about how it is answered."""

from typing import Any

import msgspec
import pytest

from core.models.events import Cancelled, Event, Failed
from core.models.jobs import JobStatus
from core.redis.keys import job_key
from core.services import Services
from pipelines.chat import prompt_of
from tests.api.conftest import MODEL, Client
from tests.api.manual_jobs import claim_next


@pytest.mark.parametrize("models", [5, True, [], [5], [None], [""], [["echo"]], [{"id": "echo"}], {"echo": 1}, {}, None, ""])
async def test_a_chat_that_names_no_model_is_answered_by_the_default_one(bob: Client, models: Any) -> None:
    sent = await bob.post(f"/api/chats/{await bob.chat(models=models)}/messages", {"content": "hi"})
    assert (sent.status, sent.body.get("answer", {}).get("model")) == (201, MODEL.id), sent.body


@pytest.mark.parametrize("models", [["nobody's"], "nobody's"])
async def test_a_model_that_a_chat_names_and_nobody_serves_is_named(bob: Client, models: Any) -> None:
    refused = await bob.post(f"/api/chats/{await bob.chat(models=models)}/messages", {"content": "hi"})
    assert refused.status == 404
    assert "nobody's" in refused.body["detail"]


async def test_a_chats_parameters_are_sampled_with_and_open_webuis_own_switches_are_not_passed_on(bob: Client, services: Services) -> None:
    switches = {"stream_response": False, "function_calling": "native", "reasoning_tags": ["a", "b"], "stream": False, "n": 3, "stop": None}
    params = {"temperature": 0.1, "num_ctx": 512, "custom_params": {"min_p": 0.5}, "messages": 5, "model": "other", **switches}
    sent = await bob.post(f"/api/chats/{await bob.chat(params={**params, 'system': 'Be brief.'})}/messages", {"content": "hi"})
    assert sent.status == 201, sent.body
    making = await claim_next(services)
    assert making.spec.served == MODEL.id
    given = msgspec.json.decode(making.claim.input)
    assert given == {"model": MODEL.id, "messages": [{"role": "user"}], "stream": True, "temperature": 0.1, "num_ctx": 512, "min_p": 0.5}
    detail = await services.chats.detail(making.spec.chat_id or "")
    said = [message["content"] for message in prompt_of(making.spec, making.claim.input, chat=detail).messages]
    assert said == ["Be brief.", "hi"]


@pytest.mark.parametrize(
    ("params", "field"),
    [({"temperature": 99}, "chat.params.temperature"), ({"stop": 5}, "chat.params.stop"), ({"tools": [{}]}, "chat.params.tools")],
)
async def test_a_parameter_of_the_chat_that_cannot_be_used_is_named_as_the_chats(bob: Client, params: dict[str, Any], field: str) -> None:
    refused = await bob.post(f"/api/chats/{await bob.chat(params=params)}/messages", {"content": "hi"})
    assert refused.status == 400
    assert refused.body["detail"].startswith(field)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"content": ""}, "content"), ({"content": 5}, "content"), ({"content": "x", "role": "assistant"}, "role")],
)
async def test_a_message_that_cannot_be_used_is_told_by_the_name_of_its_field_here(bob: Client, body: dict[str, Any], field: str) -> None:
    refused = await bob.post(f"/api/chats/{await bob.chat()}/messages", body)
    assert refused.status == 400
    assert refused.body["detail"].startswith(f"The message's {field} must be ")


async def test_an_answer_that_is_taken_out_while_it_is_made_is_stopped(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    first, second = [(await bob.post(f"/api/chats/{chat_id}/messages", {"content": "hi"})).body for _ in range(2)]
    making = await claim_next(services)
    assert making.claim.spec.id == first["generation_id"]
    for asked in (first, second):
        assert (await bob.delete(f"/api/chats/{chat_id}/messages/{asked['answer']['id']}")).status == 200
    assert await services.redis.hget(job_key(first["generation_id"]), "cancel") == b"1"
    assert await services.generations.running(chat_id) == [first["generation_id"]], "the one that waited has ended"
    assert (await bob.delete(f"/api/chats/{chat_id}/messages/{first['message']['id']}")).status == 200


@pytest.mark.parametrize(
    ("last", "status", "end"),
    [
        (Cancelled(), JobStatus.CANCELLED, {"stopped": True}),
        (
            Failed(code="upstream_broken", detail="It broke."),
            JobStatus.FAILED,
            {"error": {"content": "It broke.", "code": "upstream_broken"}},
        ),
    ],
)
async def test_how_an_answer_ended_is_in_the_chat_for_who_reads_it_later(
    bob: Client, services: Services, last: Event, status: JobStatus, end: dict[str, Any]
) -> None:
    chat_id = await bob.chat()
    await bob.post(f"/api/chats/{chat_id}/messages", {"content": "hi"})
    making = await claim_next(services)
    await services.answers.save(making.spec, "So far", status, last)
    stored = (await bob.get(f"/api/chats/{chat_id}")).body["chat"]["messages"][1]
    assert {**stored, **end, "content": "So far", "done": True} == stored
