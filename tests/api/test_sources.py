"""What an answer stands on, on every face; and strangers, who are told nothing on any."""

from typing import Any

import msgspec
import openai
import pytest

from core.jobs import queue_of
from core.redis.keys import waiting_key
from core.services import Services
from core.settings import Settings
from tests.api.conftest import Client
from tests.api.forms import uploaded
from tests.api.socketio_client import connect_socket
from tests.knowledge_work import MILL, Telling, base_of, embedder, model, put, worker
from tests.schema.graphql_documents import FOLLOW
from tests.schema.transports import TRANSPORTS, Post, Transport

__all__ = ["embedder", "model", "worker"]

TEXT = "As it says [1]."
QUESTION: list[Any] = [{"role": "user", "content": "Who plays the violin?"}]
ASK: dict[str, Any] = {"model": "echo", "messages": QUESTION}
SEND = """
mutation ($chatId: ID!, $content: JSON!, $files: [AttachmentInput!]! = [], $knowledgeIds: [ID!]! = []) {
  sendMessage(input: {chatId: $chatId, content: $content, files: $files, knowledgeIds: $knowledgeIds}) {
    generationId
    userMessage { files }
  }
}
"""
READ = "query ($id: ID!) { chat(id: $id) { messages { nodes { role sources } } } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=0)


@pytest.fixture
async def base(bob: Client, model: Telling) -> str:
    """A base of Bob's with two passages."""
    assert model
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id)
    return knowledge_id


def check(sources: Any) -> None:
    """Two passages, as Open WebUI's clients read them."""
    first, second = sources
    assert set(first) == {"source", "document", "metadata", "distances"}
    assert "makes music" in first["document"][0]
    assert "grinds corn" in second["document"][0]
    assert first["metadata"][0]["name"] == first["source"]["name"] == "mill.md"
    assert 0 <= second["distances"][0] < first["distances"][0] <= 1


async def stored_in(bob: Client, chat_id: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = (await bob.get(f"/api/chats/{chat_id}")).body["chat"]["messages"]
    return messages


async def events_of(bob: Client, generation_id: str) -> list[dict[str, Any]]:
    """All of a generation's server-sent events."""
    async with bob.session.get(f"{bob.url}/api/generations/{generation_id}/events", headers=bob.headers) as response:
        lines = (await response.text()).splitlines()
    return [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: ")]


async def test_a_chats_answer_tells_it_before_its_text_and_keeps_it(bob: Client, base: str) -> None:
    chat_id = await bob.chat()
    sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": QUESTION[0]["content"], "knowledge_ids": [base]})
    assert sent.status == 201, sent
    assert sent.body["message"]["files"] == [{"type": "collection", "id": base, "name": "Mills"}]
    events = await events_of(bob, sent.body["generation_id"])
    assert [event["type"] for event in events[:3]] == ["started", "sources", "delta"]
    first, _ = events[1]["sources"]
    assert {**first, "passage": "", "file_id": ""} == {
        "number": 1,
        "file_id": "",
        "filename": "mill.md",
        "knowledge_id": base,
        "passage": "",
        "score": first["score"],
    }
    question, answer = await stored_in(bob, chat_id)
    assert question["files"] == sent.body["message"]["files"]
    assert (answer["content"], answer["done"]) == (TEXT, True)
    check(answer["sources"])


async def test_what_open_webuis_page_attaches_to_a_chat_counts_for_each_of_its_questions(bob: Client, base: str, model: Telling) -> None:
    file = await uploaded(bob, b"The moon is made of corn.\n", "moon.txt")
    entry = {"type": "file", "id": file["id"], "file": file, "url": f"/api/v1/files/{file['id']}", "name": "moon.txt", "itemId": "x"}
    whole = (await bob.get(f"/api/knowledge/{base}")).body
    chat_id = await bob.chat(files=[entry, {**whole, "type": "collection"}, {"type": "image", "url": "data:"}])
    for _ in range(2):
        sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": "What is the moon made of?"})
        await events_of(bob, sent.body["generation_id"])
        assert "The moon is made of corn." in model.prompt
        assert "grinds corn" in model.prompt
    assert len(model.asked[-1]) == 3  # the passages of the first question stand in its own prompt alone
    assert "grinds corn" not in str(model.asked[-1][:2])
    assert len((await stored_in(bob, chat_id))[-1]["sources"]) == 3


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/openai/v1/chat/completions", "/api/chat/completions"])
async def test_a_completion_has_it_beside_its_choices(bob: Client, base: str, path: str) -> None:
    reply = await bob.post(path, {**ASK, "files": [{"type": "collection", "id": base, "name": "Mills"}]})
    assert reply.body["choices"][0]["message"]["content"] == TEXT
    check(reply.body["sources"])


async def test_one_that_attaches_nothing_has_none(bob: Client, model: Telling) -> None:
    nothings: list[dict[str, Any]] = [{}, {"files": [], "knowledge_ids": None}]
    for nothing in nothings:
        reply = await bob.post("/v1/chat/completions", {**ASK, **nothing})
        assert "sources" not in reply.body
    assert model.prompt == QUESTION[0]["content"]


@pytest.mark.parametrize("usage", [False, True])
async def test_the_openai_sdk_hears_the_answer_as_ever_and_then_what_it_stands_on(bob: Client, base: str, *, usage: bool) -> None:
    attached: Any = {"extra_body": {"knowledge_ids": [base]}}
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/v1", api_key=bob.token, max_retries=0) as client:
        whole = await client.chat.completions.create(**ASK, **attached)
        assert whole.choices[0].message.content == TEXT
        check((whole.model_extra or {})["sources"])
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK, **attached, **options, stream=True)]
        answer = [chunk for chunk in chunks if chunk.choices]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == TEXT
        assert [chunk.choices[0].finish_reason for chunk in answer][-2:] == ["stop", None]
        assert [place for place, chunk in enumerate(chunks) if chunk.model_extra] == [len(answer) - 1]
        check((answer[-1].model_extra or {})["sources"])
        assert (chunks[-1].usage is not None, len(chunks) - len(answer)) == (usage, int(usage))
        async with client.chat.completions.stream(**ASK, **attached, **options) as stream:
            done = [event async for event in stream if event.type == "content.done"]
            final = await stream.get_final_completion()
        assert [event.content for event in done] == [TEXT]
        assert (final.choices[0].message.content, final.choices[0].finish_reason) == (TEXT, "stop")


async def test_socket_io_hears_it_before_the_text_and_with_the_whole(bob: Client, base: str) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        said = {"content": QUESTION[0]["content"], "files": [{"type": "collection", "id": base}]}
        assert (await socket.call("message", {"chat_id": chat_id, "message": said}))["ok"]
        await socket.hears(2)
        pieces = [data["message"] for data in socket.of("message") if data["delta"]]
        check(pieces[0]["sources"])
        assert (pieces[0]["content"], socket.pieces()) == ("", TEXT)
        check(socket.wholes()[1]["sources"])
        assert socket.wholes()[0]["files"] == [{"type": "collection", "id": base, "name": "Mills"}]


@pytest.mark.parametrize("kind", [kind for kind in TRANSPORTS if kind.streams])
async def test_graphql_tells_it_and_keeps_it(bob: Client, base: str, kind: type[Transport]) -> None:
    transport, chat_id = kind(bob.url), await bob.chat()
    sent = await transport.ask(SEND, bob.token, chatId=chat_id, content=QUESTION[0]["content"], knowledgeIds=[base])
    answer = sent["data"]["sendMessage"]
    assert answer["userMessage"]["files"] == [{"type": "collection", "id": base, "name": "Mills"}]
    heard = [event["data"]["generation"] async for event in transport.listen(FOLLOW, bob.token, id=answer["generationId"], after=None)]
    assert [event["__typename"] for event in heard[:3]] == ["GenerationStarted", "GenerationSources", "GenerationDelta"]
    first, _ = heard[1]["sources"]
    assert (first["number"], first["filename"], first["knowledgeId"], first["pages"]) == (1, "mill.md", base, [])
    assert "makes music" in first["passage"]
    read = await transport.ask(READ, bob.token, id=chat_id)
    check(read["data"]["chat"]["messages"]["nodes"][1]["sources"])


async def test_a_stranger_gets_nothing_on_any_face_and_nothing_is_begun(
    eve: Client, bob: Client, base: str, services: Services, model: Telling
) -> None:
    file = await uploaded(bob, MILL, "mill.md")
    his: list[tuple[dict[str, Any], int, str]] = [
        ({"knowledge_ids": [base]}, 403, "forbidden"),
        ({"files": [{"type": "collection", "id": base}]}, 403, "forbidden"),
        ({"knowledge_ids": ["no such base"]}, 403, "forbidden"),
        ({"files": [{"type": "file", "id": file["id"]}]}, 404, "not_found"),
        ({"files": [{"type": "file", "id": "no such file"}]}, 404, "not_found"),
    ]
    chat_id, hers = await eve.chat(), await base_of(eve)
    async with connect_socket(eve) as socket:
        for attached, status, code in his:
            for body in (attached, {**attached, "knowledge_ids": [hers, *attached.get("knowledge_ids", ())]}):
                replies = [
                    await eve.post("/v1/chat/completions", {**ASK, **body}),
                    await eve.post("/v1/chat/completions", {**ASK, **body, "stream": True}),
                    await eve.post(f"/api/chats/{chat_id}/messages", {"content": "x", **body}),
                ]
                assert [reply.status for reply in replies] == [status] * 3
                refused = await socket.call("message", {"chat_id": chat_id, "message": {"content": "x", **body}})
                assert (refused["ok"], refused["error"]["code"]) == (False, code)
                attachments = [{**one, "type": one["type"].upper()} for one in body.get("files", ())]
                variables = {"files": attachments, "knowledgeIds": body.get("knowledge_ids", [])}
                answer = await Post(eve.url).ask(SEND, eve.token, chatId=chat_id, content="x", **variables)
                assert answer["errors"][0]["extensions"]["code"] == code
                for said in (*replies, refused, answer):
                    assert not any(word in str(getattr(said, "body", said)) for word in ("mill.md", "Mills", "violin", "corn"))
    assert await stored_in(eve, chat_id) == []
    assert await services.generations.running(chat_id) == []
    assert model.asked == []
    assert await services.scripts.command("LLEN", waiting_key(queue_of("generate_reply", "echo"))) == 0


async def test_a_chat_with_something_attached_that_is_not_theirs_is_no_way_in(eve: Client, base: str, model: Telling) -> None:
    chat_id = await eve.chat(files=[{"type": "collection", "id": base}])
    assert (await eve.post(f"/api/chats/{chat_id}/messages", {"content": "x"})).status == 403
    assert model.asked == []


@pytest.mark.parametrize(
    ("attached", "field"),
    [
        ({"files": [{"type": "image", "id": "x"}]}, "files[0].type"),
        ({"files": [{"type": "file"}]}, "files[0]"),
        ({"files": "x"}, "files"),
        ({"files": [{"type": "file", "id": "x"}] * 51}, "files"),
        ({"knowledge_ids": [1]}, "knowledge_ids[0]"),
    ],
)
async def test_what_cannot_be_attached_is_refused_by_its_field(bob: Client, attached: dict[str, Any], field: str) -> None:
    reply = await bob.post("/v1/chat/completions", {**ASK, **attached})
    assert (reply.status, reply.body["error"]["param"].startswith(field)) == (400, True), reply
    chat_id = await bob.chat()
    assert (await bob.post(f"/api/chats/{chat_id}/messages", {"content": "x", **attached})).status == 400


async def test_what_is_attached_needs_a_question(bob: Client, base: str) -> None:
    silent = [{"role": "user", "content": [{"type": "text", "text": " "}]}]
    reply = await bob.post("/v1/chat/completions", {"model": "echo", "messages": silent, "knowledge_ids": [base]})
    assert (reply.status, reply.body["error"]["param"]) == (400, "messages")
