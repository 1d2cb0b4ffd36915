"""Relayed answers that are disturbed while they stream."""

import asyncio
from collections.abc import Awaitable, Callable

from openai.types.chat import ChatCompletionMessageParam

from tests.polling import until
from tests.survival.conftest import RELAYED, User
from tests.upstream import WORDS

WHOLE = "".join(WORDS)
BEGUN = 3
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me the words."}]


class Stream:
    """One streamed completion, as OpenAI's client reads it."""

    def __init__(self, user: User, model: str = RELAYED) -> None:
        self.text = ""
        self.task = asyncio.create_task(self._read(user, model))

    async def _read(self, user: User, model: str) -> None:
        async for chunk in await user.openai.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            self.text += chunk.choices[0].delta.content or ""


async def disturbed_streams(user: User, count: int, disturb: Callable[[], Awaitable[object]], model: str = RELAYED) -> list[str]:
    """What the readers of so many streams got, that had all begun when they were disturbed."""
    streams = [Stream(user, model) for _ in range(count)]
    await until(lambda: all(len(stream.text.split()) >= BEGUN for stream in streams), "all streams have begun")
    assert not any(stream.task.done() for stream in streams), "the streams were too short to be disturbed"
    await disturb()
    await asyncio.gather(*(stream.task for stream in streams))
    return [stream.text for stream in streams]
