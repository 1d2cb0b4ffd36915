"""Workers of one pool with different models: none is given what it cannot do."""

import asyncio
import itertools

import pytest

from tests.stack import Stack
from tests.survival.conftest import User
from tests.survival.counted import COUNTED, start_counting

pytestmark = pytest.mark.timeout(110)

REQUESTS = 40


async def test_two_workers_with_different_models_answer_every_request(stack: Stack, user: User) -> None:
    models = ("one", "other")
    await asyncio.gather(*(start_counting(stack, model, "--leaves-at", "100") for model in models))

    async def ask(model: str) -> tuple[str, str | None]:
        answer = await user.openai.chat.completions.create(model=model, messages=[{"role": "user", "content": "Count."}])
        return answer.model, answer.choices[0].message.content

    asked = list(itertools.islice(itertools.cycle(models), REQUESTS))
    assert await asyncio.gather(*map(ask, asked)) == [(model, COUNTED) for model in asked]
