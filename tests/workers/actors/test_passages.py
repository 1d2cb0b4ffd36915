"""What is found for answers, with real parsers, retrieval and stores: out of bases, files, and both."""

from typing import Any

import msgspec
import pytest

from core.errors import Unavailable
from core.models.chats import SendMessage
from core.models.generations import GenerationSpec
from core.models.sources import LookThrough
from core.services import Services
from core.settings import Settings
from pipelines.chat import Prompt, Window
from tests.api.conftest import Client, ada, bob, eve, visitor
from tests.api.forms import uploaded
from tests.knowledge_work import MILL, CountingWords, Telling, base_of, embedder, model, put, worker
from tests.pipelines.parsing.pdfs import write_pdf
from tests.serving import app, quick_passwords, services, url
from workers.actors.passages import Passages

__all__ = ["ada", "app", "bob", "embedder", "eve", "model", "quick_passwords", "services", "url", "visitor", "worker"]

VIOLIN = "Who plays the violin?"
MANY = b"\n\n".join(b"Water runs, and more of it, number %d. " % number * 12 for number in range(40)) + b"\n\nThe violin makes music.\n"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=0, retrieval_top_k=3)


async def ask(client: Client, question: str = VIOLIN, **attached: Any) -> Any:
    """A whole completion."""
    body = {"model": "echo", "messages": [{"role": "user", "content": question}], **attached}
    return await client.post("/v1/chat/completions", body)


async def sources_of(client: Client, question: str = VIOLIN, **attached: Any) -> list[dict[str, Any]]:
    reply = await ask(client, question, **attached)
    assert reply.status == 200, reply
    found: list[dict[str, Any]] = reply.body["sources"]
    return found


def texts(sources: list[dict[str, Any]]) -> list[str]:
    return [source["document"][0] for source in sources]


async def test_passages_of_a_base_are_told_with_file_pages_and_score_and_stand_in_the_prompt(bob: Client, model: Telling) -> None:
    knowledge_id = await base_of(bob)
    done = await put(bob, knowledge_id)
    first, second = await sources_of(bob, knowledge_ids=[knowledge_id])
    about = {"source": f"{done['file_id']}/1", "name": "mill.md", "file_id": done["file_id"], "pages": [], "knowledge_id": knowledge_id}
    assert first["source"] == {"id": done["file_id"], "name": "mill.md"}
    assert first["metadata"] == [about]
    assert "makes music" in first["document"][0]
    assert 0 <= second["distances"][0] < first["distances"][0] <= 1
    assert model.prompt.index("makes music") < model.prompt.index("grinds corn") < model.prompt.index(VIOLIN)


async def test_two_bases_are_one_and_the_same_passage_is_told_once(bob: Client, model: Telling) -> None:
    one, other = await base_of(bob), await base_of(bob)
    await put(bob, one)
    await put(bob, other, name="same.md")
    await put(bob, other, b"The violin is in the moon.\n", "moon.md")
    found = texts(await sources_of(bob, knowledge_ids=[one, other, one], files=[{"type": "collection", "id": other}]))
    assert len(found) == len(set(found)) == 3
    assert model.prompt.count("makes music") == 1
    assert "in the moon" in model.prompt


async def test_no_more_than_the_setting_says(bob: Client, model: Telling) -> None:
    knowledge_id = await base_of(bob, chunking={"max_tokens": 16, "overlap_tokens": 0})
    await put(bob, knowledge_id, MANY, "many.txt")
    assert len(await sources_of(bob, knowledge_ids=[knowledge_id])) == 3
    assert len(model.asked) == 1


async def test_a_base_with_nothing_in_it_is_no_reason_to_say_nothing(bob: Client, model: Telling) -> None:
    assert await sources_of(bob, knowledge_ids=[await base_of(bob)]) == []
    assert model.prompt == VIOLIN


async def test_an_own_file_goes_in_whole_also_one_that_is_still_being_read(bob: Client, model: Telling) -> None:
    file = await uploaded(bob, MILL, "mill.md")
    found = await sources_of(bob, files=[{"type": "file", "id": file["id"], "name": "whatever", "url": "/api/v1/files/x"}])
    assert "knowledge_id" not in found[0]["metadata"][0]
    assert "grinds corn" in texts(found)[0]
    assert "makes music" in texts(found)[1]
    assert 0 < found[0]["distances"][0] < found[1]["distances"][0] < 1
    assert model.prompt.index("grinds corn") < model.prompt.index("makes music")


async def test_pages_are_told_from_one_and_to_open_webui_from_nought(bob: Client, model: Telling) -> None:
    file = await uploaded(bob, write_pdf(["The mill grinds corn."] * 30, ["The violin makes music."] * 30), "mill.pdf")
    first, second = await sources_of(bob, files=[{"type": "file", "id": file["id"]}])
    assert [(source["metadata"][0]["pages"], source["metadata"][0]["page"]) for source in (first, second)] == [([1], 0), ([2], 1)]
    assert '<passage number="2" file="mill.pdf" pages="2">' in model.prompt


async def test_of_a_file_that_does_not_fit_the_passages_that_have_the_questions_words(bob: Client, model: Telling) -> None:
    model.tokens = 900
    file = await uploaded(bob, MANY, "many.txt")
    found = texts(await sources_of(bob, files=[{"type": "file", "id": file["id"]}]))
    assert any("The violin makes music." in text for text in found)
    assert len(model.prompt.split()) < 900


async def test_of_one_that_is_in_a_base_those_that_the_base_finds(bob: Client, model: Telling, embedder: CountingWords) -> None:
    model.tokens = 900
    done = await put(bob, await base_of(bob), MANY.replace(b"The violin makes music", b"Violins"), "many.txt")
    embedder.texts.clear()
    found = await sources_of(bob, files=[{"type": "file", "id": done["file_id"]}])
    assert embedder.texts == [VIOLIN]
    assert any("Violins." in text for text in texts(found))  # which is none of the question's words
    assert "knowledge_id" not in found[0]["metadata"][0]
    assert len(model.prompt.split()) < 900


async def test_a_file_that_is_attached_itself_is_not_found_in_its_base_once_more(bob: Client, model: Telling) -> None:
    knowledge_id = await base_of(bob)
    done = await put(bob, knowledge_id)
    await put(bob, knowledge_id, b"The violin is in the moon.\n", "moon.md")
    found = await sources_of(bob, files=[{"type": "file", "id": done["file_id"]}], knowledge_ids=[knowledge_id])
    assert [source["source"]["name"] for source in found] == ["mill.md", "mill.md", "moon.md"]
    assert model.prompt.count("makes music") == 1


async def test_a_question_that_is_longer_than_the_embedder_takes_is_shortened_for_it(
    bob: Client, model: Telling, embedder: CountingWords
) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id)
    embedder.texts.clear()
    model.tokens = None
    question = f"Read this. {'filler ' * 3_000} {VIOLIN}"
    found = texts(await sources_of(bob, question, knowledge_ids=[knowledge_id]))
    assert "makes music" in found[0]
    (asked,) = embedder.texts
    assert len(asked) < 64 * 4
    assert asked.endswith(VIOLIN)
    assert model.prompt.endswith(question)


@pytest.mark.parametrize("stream", [False, True])
async def test_where_the_embedder_is_away_there_is_no_answer_but_the_reason(
    bob: Client, model: Telling, embedder: CountingWords, *, stream: bool
) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id)
    embedder.fails = 1
    if stream:
        asked = {"model": "echo", "messages": [{"role": "user", "content": VIOLIN}], "knowledge_ids": [knowledge_id], "stream": True}
        async with bob.session.post(f"{bob.url}/v1/chat/completions", json=asked, headers=bob.headers) as response:
            said = await response.text()
    else:
        reply = await ask(bob, knowledge_ids=[knowledge_id])
        assert reply.status == 503
        said = reply.body["detail"]
    assert "what is attached could not be looked through: The embedder is away." in said
    assert model.asked == []
    assert len(await sources_of(bob, knowledge_ids=[knowledge_id])) == 2


async def test_what_cannot_be_read_or_does_not_fit_is_told_in_words(bob: Client, model: Telling) -> None:
    broken = await uploaded(bob, b"%PDF-1.7\n1 0 obj\n<<", "broken.pdf")
    reply = await ask(bob, files=[{"type": "file", "id": broken["id"]}])
    assert (reply.status, "could not be looked through" in reply.body["detail"]) == (400, True)
    mill = await uploaded(bob, MILL, "mill.md")
    model.tokens = 200
    reply = await ask(bob, "word " * 400, files=[{"type": "file", "id": mill["id"]}])
    assert (reply.status, reply.body["error"]["code"]) == (400, "context_length_exceeded")
    assert model.asked == []


async def test_a_file_that_nobody_reads_is_waited_for_but_not_for_ever(bob: Client, services: Services) -> None:
    file = await uploaded(bob, MILL, "mill.md")
    look_through = LookThrough(file_ids=(file["id"],))
    spec = GenerationSpec(id="g", user_id=bob.user["id"], model="echo", seed=1, created_at=1, look_through=look_through)
    prompt = Prompt(spec=spec, body=msgspec.json.encode({"model": "echo", "messages": [{"role": "user", "content": VIOLIN}]}))
    passages = msgspec.structs.replace(Passages.of(services), patience_s=0.1)
    with pytest.raises(Unavailable, match="still being read"):
        await passages.find(spec, prompt, Window(tokens=None, count=len))


async def test_what_was_deleted_before_its_worker_came_is_told(bob: Client, services: Services, model: Telling) -> None:
    knowledge_id = await base_of(bob)
    principal = await services.users.authenticate(bob.token)
    found = await services.generations._sources.check(principal, (), [knowledge_id], [{"role": "user", "content": "x"}])
    await bob.delete(f"/api/knowledge/{knowledge_id}")
    assert found[0]
    chat_id = await bob.chat()
    services.generations._sources.check = lambda *_: _done(found)  # type: ignore[method-assign]
    spec, _, answer = await services.generations.reply(principal, SendMessage(chat_id=chat_id, content="x"))
    events = [event async for _, event in services.generations.listen(principal, spec.id)]
    assert "was deleted" in events[-1].detail  # type: ignore[union-attr]
    detail = await services.chats.get(principal, chat_id)
    assert "was deleted" in next(message.extra["error"]["content"] for message in detail.messages if message.id == answer.id)
    assert model.asked == []


async def _done(value: Any) -> Any:
    return value
