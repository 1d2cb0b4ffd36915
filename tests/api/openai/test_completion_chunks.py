"""An answer's events as chunks."""

import msgspec
import pytest

from api.openai.completion_chunks import CompletionChunks
from core.models.events import Event, Progress, Step, ToolCall, ToolResult
from core.models.generations import GenerationSpec

SPEC = GenerationSpec(id="g", user_id="u", model="m", seed=1, created_at=1)
RAW = msgspec.Raw(b"{}")


@pytest.mark.parametrize(
    "event",
    [Step(key="k", result=RAW), ToolCall(key="k", name="n", arguments=RAW), ToolResult(key="k", result=RAW), Progress(status="s")],
)
def test_what_openais_clients_do_not_know_is_passed_over_and_ends_nothing(event: Event) -> None:
    assert CompletionChunks(SPEC, include_usage=True).render("1-1", event) == b""
