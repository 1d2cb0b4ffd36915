"""What was found, in the order of a re-ranker: over REST and for answers, with real retrieval and stores; and without one that is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from core.errors import Unavailable
from core.jobs import RERANK
from core.services import Services
from core.settings import Settings
from gpu.device_lock import DeviceLock
from gpu.reranker import Reranker
from pipelines.reranking import Reranker as AnyReranker
from tests.api.conftest import Client, Reply, ada, bob, eve, visitor
from tests.gpu import cross_encoders
from tests.knowledge_work import MODEL, OTHER, Telling, base_of, embedder, model, put, worker
from tests.polling import until
from tests.serving import app, quick_passwords, services, url
from tests.serving_models import serve_models
from tests.worker_parts import WorkerParts, working
from workers.actors.reranking import Rerankings

__all__ = ["ada", "app", "bob", "embedder", "eve", "model", "quick_passwords", "services", "url", "visitor", "worker"]

PATH = "/api/retrieval/query"
VIOLIN = "Who plays the violin?"
TIMEOUT_S = 6
SHORT = "# Short\n\nThe violin.\n\n# Longer\n\nThe violin makes music.\n\n# Longest\n\nThe violin makes music under the moon.\n"


class Longest:
    """A re-ranker for which a passage fits the better, the longer it is; it waits for ``go``."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None
        self.asked: list[tuple[str, list[str]]] = []

    async def score(self, query: str, passages: Sequence[str]) -> list[float]:
        self.asked.append((query, list(passages)))
        await self.go.wait()
        if self.error:
            raise self.error
        return [min(1.0, len(passage) / 100) for passage in passages]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings, rate_limit_per_minute=0, retrieval_top_k=3, reranking_model="/a/folder", reranking_timeout_s=TIMEOUT_S
    )


@pytest.fixture
def logs(services: Services) -> Iterator[list[MutableMapping[str, Any]]]:
    assert services
    with capture_logs() as said:
        yield said


def actors_of(services: Services, reranker: AnyReranker) -> dict[str, Any]:
    return {RERANK: Rerankings(results=services.results, reranker=reranker)}


@pytest.fixture
async def longest(services: Services, worker: WorkerParts) -> AsyncIterator[Longest]:
    """By one worker more."""
    assert worker
    reranker = Longest()
    async with working(services, "reranks", actors_of(services, reranker)):
        yield reranker
        reranker.go.set()


async def ask(client: Client, *knowledge_ids: str, query: str = VIOLIN, **more: Any) -> Reply:
    reply = await client.post(PATH, {"query": query, "knowledge_ids": knowledge_ids, **more})
    assert reply.status == 200, reply
    return reply


def found(reply: Reply) -> list[tuple[str, float]]:
    return [(hit["content"], hit["score"]) for hit in reply.body["results"]]


async def test_order_and_score_are_the_re_rankers_and_its_score_is_what_must_be_reached(bob: Client, longest: Longest) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    without = await ask(bob, knowledge_id, rerank=False)
    assert (without.body["reranked"], longest.asked) == (False, [])
    reply = await ask(bob, knowledge_id)
    expected = sorted(((text, len(text) / 100) for text, _ in found(without)), key=lambda hit: -hit[1])
    assert (reply.body["reranked"], found(reply)) == (True, expected)
    assert found(without) != expected
    assert longest.asked == [(VIOLIN, [text for text, _ in found(without)])]
    assert found(await ask(bob, knowledge_id, rerank=True, top_k=1)) == expected[:1]
    assert found(await ask(bob, knowledge_id, min_score=expected[1][1])) == expected[:2]
    for mode in ("vector", "keyword"):
        assert found(await ask(bob, knowledge_id, mode=mode)) == expected


async def test_passages_of_several_bases_and_models_are_compared_together_and_each_text_once(
    bob: Client, services: Services, longest: Longest
) -> None:
    one, other = await base_of(bob), await base_of(bob)
    await put(bob, one, SHORT.encode(), "short.md")
    await serve_models(services, MODEL, OTHER, worker_id="gpu")
    services.models._embedding_model = OTHER.id
    await put(bob, other, SHORT.replace("under the moon", "in the moon, which nobody hears").encode(), "other.md")
    reply = await ask(bob, one, other, top_k=10)
    (_, asked), texts = longest.asked[-1], [text for text, _ in found(reply)]
    assert (reply.body["reranked"], len(texts), len(asked)) == (True, 6, 4)
    assert sorted(set(texts)) == sorted(asked)
    assert "which nobody hears" in texts[0]
    assert {hit["metadata"]["knowledge_id"] for hit in reply.body["results"][:2]} == {one, other}


async def test_no_more_are_compared_than_the_setting_says(bob: Client, services: Services, longest: Longest) -> None:
    services.retrieval._reranking.candidates = 2
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    first = found(await ask(bob, knowledge_id, rerank=False))[:2]
    reply = await ask(bob, knowledge_id)
    assert longest.asked == [(VIOLIN, [text for text, _ in first])]
    assert [text for text, _ in found(reply)] == sorted((text for text, _ in first), key=len, reverse=True)


async def test_answers_stand_on_what_the_re_ranker_says(bob: Client, longest: Longest, model: Telling) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    body = {"model": "echo", "messages": [{"role": "user", "content": VIOLIN}], "knowledge_ids": [knowledge_id]}
    reply = await bob.post("/v1/chat/completions", body)
    assert reply.status == 200, reply
    told = [(source["document"][0], source["distances"][0]) for source in reply.body["sources"]]
    assert told == [(text, len(text) / 100) for text in sorted((text for text, _ in told), key=len, reverse=True)]
    assert len(told) == 3
    assert longest.asked
    assert model.prompt.index("under the moon") < model.prompt.rindex("The violin.")


async def test_a_stranger_is_told_what_they_were_told_before(bob: Client, eve: Client, longest: Longest) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id)
    for rerank in (None, True, False):
        reply = await eve.post(PATH, {"query": VIOLIN, "knowledge_ids": [knowledge_id], "rerank": rerank})
        assert (reply.status, longest.asked) == (403, [])


@pytest.mark.usefixtures("worker")
async def test_where_no_model_is_set_nothing_changes_and_who_asks_for_it_is_told_what_to_set(
    bob: Client, eve: Client, services: Services, logs: list[MutableMapping[str, Any]]
) -> None:
    services.retrieval._reranking.is_set = False
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    plain = await ask(bob, knowledge_id, top_k=2, rerank=False)
    assert (await ask(bob, knowledge_id, top_k=2)).body == plain.body
    asked = {"query": VIOLIN, "knowledge_ids": [knowledge_id], "rerank": True}
    reply = await bob.post(PATH, asked)
    assert (reply.status, "PENSTOCK_RERANKING_MODEL" in reply.body["detail"]) == (503, True)
    assert (await eve.post(PATH, asked)).status == 403
    assert [line for line in logs if line["event"] == "not re-ranked"] == []


@pytest.mark.usefixtures("worker")
async def test_where_no_worker_has_it_the_query_goes_without_at_once(bob: Client, logs: list[MutableMapping[str, Any]]) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    plain = await ask(bob, knowledge_id, top_k=2, rerank=False, min_score=0.5)
    for rerank in (None, True):
        async with asyncio.timeout(TIMEOUT_S / 2):
            assert (await ask(bob, knowledge_id, top_k=2, rerank=rerank, min_score=0.5)).body == plain.body
    why = [line["why"] for line in logs if line["event"] == "not re-ranked"]
    assert why == ["No live gpu worker has loaded the re-ranking model. If one is there, its log says why."] * 2


async def test_where_it_fails_or_takes_too_long_the_query_goes_without_and_nothing_stays(
    bob: Client, services: Services, longest: Longest, logs: list[MutableMapping[str, Any]]
) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    plain, jobs = await ask(bob, knowledge_id, rerank=False), set(await services.redis.keys("job:*"))
    longest.error = Unavailable("It is broken.")
    assert (await ask(bob, knowledge_id)).body == plain.body
    longest.error = None
    longest.go.clear()
    services.retrieval._reranking._timeout_s = 1
    assert (await ask(bob, knowledge_id)).body == plain.body
    assert [line["why"] for line in logs if line["event"] == "not re-ranked"] == [
        "It is broken.",
        "It has taken longer than PENSTOCK_RERANKING_TIMEOUT_S, 1 seconds.",
    ]
    assert set(await services.redis.keys("job:*")) == jobs


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("has_heir", [True, False])
async def test_a_worker_that_dies_in_the_middle_is_taken_over_from_or_done_without(
    bob: Client, services: Services, *, has_heir: bool
) -> None:
    services.retrieval._reranking._timeout_s = 60 if has_heir else TIMEOUT_S
    knowledge_id, reranker = await base_of(bob), Longest()
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    plain = await ask(bob, knowledge_id, rerank=False)
    reranker.go.clear()
    async with working(services, "dying", actors_of(services, reranker)) as dying:
        asking = asyncio.create_task(ask(bob, knowledge_id))
        await until(lambda: reranker.asked, "it has begun")
        await dying.die()
        if has_heir:
            async with working(services, "heir", actors_of(services, Longest())):
                reply = await asking
        else:
            reply = await asking
    assert reply.body["reranked"] is has_heir
    assert (reply.body == plain.body) is not has_heir
    assert sorted(text for text, _ in found(reply)) == sorted(text for text, _ in found(plain))


@pytest.mark.usefixtures("worker")
async def test_a_real_cross_encoder_scores_as_transformers_does(bob: Client, services: Services, tmp_path: Path) -> None:
    folder = await asyncio.to_thread(cross_encoders.write, tmp_path / "cross")
    settings = msgspec.structs.replace(services.settings, reranking_model=str(folder), device="cpu")
    reranker = await asyncio.to_thread(Reranker, settings, device_lock=DeviceLock(), threads=1)
    services.retrieval._reranking._timeout_s = 60
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id, SHORT.encode(), "short.md")
    async with working(services, "reranks", actors_of(services, reranker)):
        reply = await ask(bob, knowledge_id)
    await asyncio.to_thread(reranker.close)
    texts, scores = zip(*found(reply), strict=True)
    assert (reply.body["reranked"], len(texts)) == (True, 3)
    assert scores == pytest.approx(await asyncio.to_thread(cross_encoders.transformers_scores, folder, VIOLIN, texts), abs=1e-5)
    assert list(scores) == sorted(scores, reverse=True)
