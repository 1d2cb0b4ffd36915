"""Tools in chats with real processes."""

import pytest

from tests.api.function_calls import WEATHER
from tests.stack import Stack
from tests.survival.conftest import MODEL, User

pytestmark = pytest.mark.timeout(110)


async def test_the_starter_model_is_told_of_tools_and_answers_to_the_end(stack: Stack, user: User) -> None:
    """It may call one, well or badly, or none."""
    await stack.start_worker("gpu")
    made = await user.post("/api/functions/create", {"name": "weather", "content": WEATHER})
    answer = await user.openai.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Ulm? Use get_weather."}],
        max_tokens=48,
        temperature=0,
        extra_body={"tool_ids": [made["id"]]},
    )
    (choice,) = answer.choices
    assert choice.finish_reason in {"stop", "length"}
    assert choice.message.content
    assert not choice.message.tool_calls
    assert answer.usage
    assert answer.usage.prompt_tokens > len("You can call tools")
