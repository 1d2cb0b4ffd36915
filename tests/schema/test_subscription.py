"""A generation, listened to over every transport that streams, with a real log written as a worker writes it."""

import asyncio
from contextlib import aclosing
from typing import Any

from core.jobs.claims import Claim
from core.models.completions import Usage
from core.models.events import Cancelled, ChoiceFinished, Delta, Failed, Finished, Started, Waiting
from core.models.jobs import JobStatus
from core.models.users import Session
from core.redis.keys import events_key
from core.services import Services
from tests.polling import until
from tests.schema.graphql_documents import ASK, CREATE, FOLLOW, STOP
from tests.schema.test_operations import code
from tests.schema.transports import Answer, Transport

ANSWER = (
    Started(model="echo", attempt=1),
    Delta(text="To the "),
    Delta(text="sea."),
    ChoiceFinished(finish_reason="stop"),
    Finished(usage=Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)),
)


async def asked(stream: Transport, session: Session) -> str:
    """A generation that waits for a worker."""
    chat = (await stream.ask(CREATE, session.token, title="Rivers"))["data"]["createChat"]["chat"]
    generation_id: str = (await stream.ask(ASK, session.token, chatId=chat["id"], content="Where?"))["data"]["sendMessage"]["generationId"]
    return generation_id


async def claimed(services: Services, generation_id: str) -> Claim:
    """A worker's hold on it."""
    claim = await services.claims.claim(generation_id, "worker")
    assert claim
    return claim


async def heard(stream: Transport, session: Session, generation_id: str, after: str | None = None) -> list[Answer]:
    """Everything, until the server ends it."""
    async with aclosing(stream.listen(FOLLOW, session.token, id=generation_id, after=after)) as answers:
        return [answer async for answer in answers]


def events_of(answers: list[Answer]) -> list[dict[str, Any]]:
    """The events in answers without errors."""
    assert not any(answer.get("errors") for answer in answers), answers
    return [answer["data"]["generation"] for answer in answers]


async def test_each_event_comes_once_those_before_and_those_after_listening_began(
    stream: Transport, services: Services, ada: Session
) -> None:
    generation_id = await asked(stream, ada)
    claim = await claimed(services, generation_id)
    await services.claims.append(claim, 1, ANSWER[:2])
    async with aclosing(stream.listen(FOLLOW, ada.token, id=generation_id)) as answers:
        first = [await anext(answers), await anext(answers)]
        await services.claims.append(claim, 3, ANSWER[2:], end=JobStatus.FINISHED)
        events = events_of([*first, *[answer async for answer in answers]])
    assert [event.pop("id") for event in events] == [f"{claim.epoch}-{seq}" for seq in range(1, 6)]
    assert events == [
        {"__typename": "GenerationStarted", "model": "echo", "attempt": 1, "continued": None},
        {"__typename": "GenerationDelta", "choice": 0, "text": "To the "},
        {"__typename": "GenerationDelta", "choice": 0, "text": "sea."},
        {"__typename": "GenerationChoiceFinished", "choice": 0, "finishReason": "STOP"},
        {"__typename": "GenerationFinished", "usage": {"totalTokens": 5}},
    ]


async def test_it_goes_on_after_the_last_event_seen(stream: Transport, services: Services, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    claim = await claimed(services, generation_id)
    await services.claims.append(claim, 1, ANSWER, end=JobStatus.FINISHED)
    whole = events_of(await heard(stream, ada, generation_id))
    for place, event in enumerate(whole[:-1]):
        assert events_of(await heard(stream, ada, generation_id, event["id"])) == whole[place + 1 :]


async def test_several_listeners_hear_the_same(stream: Transport, services: Services, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    claim = await claimed(services, generation_id)
    listening = [asyncio.create_task(heard(stream, ada, generation_id)) for _ in range(3)]
    for seq in range(len(ANSWER)):
        end = JobStatus.FINISHED if isinstance(ANSWER[seq], Finished) else None
        await services.claims.append(claim, seq + 1, ANSWER[seq : seq + 1], end=end)
    first, *others = await asyncio.gather(*listening)
    assert len(events_of(first)) == len(ANSWER)
    assert others == [first, first]


async def test_a_failure_ends_it_with_its_code(stream: Transport, services: Services, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    failed = Failed(code="upstream_timeout", detail="The model's server took too long.")
    await services.claims.append(await claimed(services, generation_id), 1, (failed,), end=JobStatus.FAILED)
    (event,) = events_of(await heard(stream, ada, generation_id))
    assert (event["__typename"], event["code"]) == ("GenerationFailed", "upstream_timeout")


async def test_what_is_wanting_is_told_and_a_usage_that_nobody_knows_is_null(stream: Transport, services: Services, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    events = (Waiting(detail="No worker serves it now."), Finished())
    await services.claims.append(await claimed(services, generation_id), 1, events, end=JobStatus.FINISHED)
    assert [event | {"id": ""} for event in events_of(await heard(stream, ada, generation_id))] == [
        {"__typename": "GenerationWaiting", "id": "", "detail": "No worker serves it now."},
        {"__typename": "GenerationFinished", "id": "", "usage": None},
    ]


async def test_stopping_one_that_waits_ends_it(stream: Transport, services: Services, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    listening = asyncio.create_task(heard(stream, ada, generation_id))
    await until(lambda: listeners(services, generation_id), "somebody listens")
    await stream.ask(STOP, ada.token, id=generation_id)
    assert [event["__typename"] for event in events_of(await listening)] == ["GenerationCancelled"]
    assert isinstance((await services.events.read(generation_id))[-1][1], Cancelled)


async def test_a_strangers_generation_and_one_that_is_not_there_are_not_found(stream: Transport, ada: Session, bob: Session) -> None:
    generation_id = await asked(stream, ada)
    for session, wanted in ((bob, generation_id), (ada, "nothing")):
        (answer,) = await heard(stream, session, wanted)
        assert code(answer) == "not_found"


async def test_it_needs_a_token(stream: Transport, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    async with aclosing(stream.listen(FOLLOW, id=generation_id)) as answers:
        assert [code(answer) async for answer in answers] == ["unauthenticated"]


async def test_an_id_that_is_none_is_a_bad_request(stream: Transport, ada: Session) -> None:
    (answer,) = await heard(stream, ada, await asked(stream, ada), "yesterday")
    assert code(answer) == "bad_request"


async def test_a_listener_that_goes_leaves_nothing_behind(stream: Transport, services: Services, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    await services.claims.append(await claimed(services, generation_id), 1, ANSWER[:2])
    async with aclosing(stream.listen(FOLLOW, ada.token, id=generation_id)) as answers:
        await anext(answers)
        assert await listeners(services, generation_id) == 1
    await until(lambda: nobody_listens(services, generation_id), "the channel has no subscriber")


async def listeners(services: Services, generation_id: str) -> int:
    """How many Redis connections are subscribed to its log."""
    ((_, count),) = await services.redis.pubsub_numsub(events_key(generation_id))
    return int(count)


async def nobody_listens(services: Services, generation_id: str) -> bool:
    """Whether none is."""
    return await listeners(services, generation_id) == 0


async def test_an_id_that_is_none_is_refused_by_the_arguments_name(stream: Transport, ada: Session) -> None:
    generation_id = await asked(stream, ada)
    (answer,) = await heard(stream, ada, generation_id, "x")
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["param"]) == ("bad_request", "after")
    assert error["message"].startswith("after: ")
