from typing import Any

import msgspec
import pytest

from core.models.catalog import ANY_TASK, Task
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta
from pipelines.upstreams.completions import read_whole
from pipelines.upstreams.endpoint import Endpoint, OllamaEndpoint
from pipelines.upstreams.schemas import tasks_of

ENDPOINT = Endpoint("http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("text-embedding-3-small", ""),
        ("nomic-embed-text:latest", "nomic-bert"),
        ("all-minilm:22m", "bert"),
        ("bge-m3", "embeddings"),
        ("Qwen/Qwen3-Embedding-0.6B", ""),
    ],
)
def test_what_is_named_or_built_for_embedding_is_for_that_alone(name: str, kind: str) -> None:
    assert tasks_of(name, kind) == (Task.EMBEDDING,)


@pytest.mark.parametrize(("name", "kind"), [("gpt-4o", ""), ("llama3.2:1b", "llama"), ("bge-m3", ""), ("robert-chat", "")])
def test_of_other_models_nobody_knows(name: str, kind: str) -> None:
    assert tasks_of(name, kind) == ANY_TASK


@pytest.mark.parametrize(
    ("said", "told"),
    [
        *(("stop", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("", "stop"), (None, "stop")),
        *(("eos", "stop"), ("abort", "stop"), ("end_turn", "stop"), ("model_length", "length"), ("MAX_TOKENS", "length")),
        *(("tool_use", "tool_calls"), ("SAFETY", "content_filter")),
    ],
)
def test_why_an_answer_ended_is_told_in_openais_words_whatever_the_servers_are(said: str | None, told: Any) -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": said}]}
    parts = read_whole(msgspec.json.encode(answer), ENDPOINT)
    assert list(parts[:2]) == [Delta(text="Hi"), ChoiceFinished(finish_reason=told)]


def test_content_in_parts_is_their_text() -> None:
    content = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "H"}, {"type": "text", "text": "i"}, 5]
    answer = {"choices": [{"message": {"content": content}}], "usage": None}
    assert list(read_whole(msgspec.json.encode(answer), ENDPOINT))[::2] == [
        Delta(text="Hi"),
        Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),
    ]


@pytest.mark.parametrize("bare", [False, True])
def test_a_listing_may_be_bare_and_odd_rows_cost_only_themselves(bare: bool) -> None:  # noqa: FBT001 - a parameter
    moment = "2023-11-09T20:00:00Z"
    rows = [{"id": "a", "created": moment, "owned_by": None, "name": 5}, {"id": 7}, "x", {"id": ""}, {"id": "b", "created": 5.0, "type": 1}]
    listed = ENDPOINT._listed(msgspec.json.encode(rows if bare else {"object": "list", "data": rows}))
    assert [(model.id, model.created, model.owned_by, model.name) for model in listed] == [
        ("a", 1_699_560_000, "openai", "a"),
        ("b", 5, "openai", "b"),
    ]


def test_an_ollama_without_models_has_none() -> None:
    assert OllamaEndpoint("http://127.0.0.1:1")._listed(b'{"models": null}') == ()
