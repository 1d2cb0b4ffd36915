"""OpenAI's API over real processes, with its own client: the local models, whatever dies."""

import asyncio
import base64
from array import array
from typing import Any

import openai
import pytest

from core.redis.client import connect
from core.redis.keys import job_key
from tests.stack import Running, Stack
from tests.survival.conftest import MODEL, User

pytestmark = pytest.mark.timeout(300)

EMBEDDER = "all-MiniLM-L6-v2"
ENOUGH = 5
SEA: list[Any] = [{"role": "user", "content": "Write a short poem about the sea."}]


def likeness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_its_client_gets_vectors_and_probabilities_from_the_local_models_whatever_dies(stack: Stack, user: User) -> None:
    await stack.start_worker("gpu", embedding_dtype="float32")
    client = user.openai
    models = {model.id: model.model_dump() for model in (await client.models.list()).data}
    assert (models[MODEL]["tasks"], models[EMBEDDER]["tasks"]) == (["chat"], ["embedding"])
    await embeds(client)
    await refuses(client)
    await tells_probabilities(client)
    await survives(stack, client)


async def embeds(client: openai.AsyncOpenAI) -> None:
    texts = ["How do I reset my password?", "Steps for recovering access to an account", "The mill stands by the river."]
    made = await client.embeddings.create(model=EMBEDDER, input=texts)
    assert (made.model, made.usage.prompt_tokens, len(made.data[0].embedding)) == (EMBEDDER, made.usage.total_tokens, 384)
    question, answer, other = (row.embedding for row in made.data)
    assert likeness(question, answer) > 0.5
    assert likeness(question, other) < 0.2
    numbers = await client.embeddings.create(model=EMBEDDER, input=texts[0], encoding_format="float", dimensions=384)
    assert likeness(numbers.data[0].embedding, question) == pytest.approx(1, abs=1e-6)
    coded: Any = await client.embeddings.with_raw_response.create(model=EMBEDDER, input=texts[0], encoding_format="base64")
    raw = array("f", base64.b64decode(coded.http_response.json()["data"][0]["embedding"])).tolist()
    assert raw == pytest.approx(numbers.data[0].embedding, abs=1e-6)
    many = await client.embeddings.create(model=EMBEDDER, input=[f"text {number}" for number in range(300)])
    assert [row.index for row in many.data] == list(range(300))


async def refuses(client: openai.AsyncOpenAI) -> None:
    refused: list[tuple[Any, str, str]] = [
        (client.embeddings.create(model=EMBEDDER, input="x", dimensions=64), "dimensions", "gives 384"),
        (client.embeddings.create(model=EMBEDDER, input=["x", "word " * 300]), "input", "maximum context length is 256"),
        (client.embeddings.create(model=EMBEDDER, input=[[999_999]]), "input", "999999 is not a token"),
        (client.embeddings.create(model=MODEL, input="x"), "model", "only for chat"),
        (client.chat.completions.create(model=EMBEDDER, messages=SEA), "model", "only for embedding"),
    ]
    for call, param, words in refused:
        with pytest.raises(openai.BadRequestError, match=words) as raised:
            await call
        assert raised.value.param == param


async def tells_probabilities(client: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": SEA,
        "max_tokens": 12,
        "seed": 3,
        "temperature": 1,
        "logprobs": True,
        "top_logprobs": 2,
    }
    whole = await client.chat.completions.create(**asked, n=2)
    first, second = whole.choices
    assert first.message.content != second.message.content, "choices of one seed differ"
    told = first.logprobs.content if first.logprobs and first.logprobs.content else []
    assert b"".join(bytes(one.bytes or ()) for one in told).decode() == first.message.content
    assert all(len(one.top_logprobs) == 2 and one.logprob <= one.top_logprobs[0].logprob <= 0 for one in told)
    assert whole.usage
    assert whole.usage.completion_tokens >= 2 * len(told)
    streamed: list[Any] = []
    async for chunk in await client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed.extend((choice.logprobs and choice.logprobs.content) or [])
    assert streamed == told


async def survives(stack: Stack, client: openai.AsyncOpenAI) -> None:
    """Both are the same, token by token and number by number, when the worker that makes the answer is killed in the middle."""
    undisturbed, vectors = await both(client)
    await stack.start_worker("gpu", embedding_dtype="float32")
    told, same = await both(client, stack)
    assert told == undisturbed
    assert all(likeness(one, two) == pytest.approx(1, abs=1e-6) for one, two in zip(vectors, same, strict=True))


async def both(client: openai.AsyncOpenAI, stack: Stack | None = None) -> tuple[list[Any], list[list[float]]]:
    """An answer's probabilities and some passages' vectors, asked for together; with a stack, a worker of it is killed meanwhile."""
    passages = [f"passage {number} " + "that goes on about the river and the mill " * 20 for number in range(30)]
    vectors = asyncio.create_task(client.embeddings.create(model=EMBEDDER, input=passages))
    told: list[Any] = []
    asked: dict[str, Any] = {"model": MODEL, "messages": SEA, "max_tokens": 30, "seed": 3, "temperature": 1, "logprobs": True}
    async for chunk in await client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            told.extend((choice.logprobs and choice.logprobs.content) or [])
        if stack and len(told) > ENOUGH:
            await (await maker(stack, chunk.id.removeprefix("chatcmpl-"))).kill()
            stack = None
    assert not stack
    return told, [row.embedding for row in (await vectors).data]


async def maker(stack: Stack, job_id: str) -> Running:
    """The process that makes an answer."""
    redis = connect(stack.redis_url)
    name = str(await redis.hget(job_key(job_id), "worker"))
    await redis.aclose()
    return next(running for running in stack.running if f"-{running.pid}-" in name)
