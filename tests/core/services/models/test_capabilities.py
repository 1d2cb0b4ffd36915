from typing import Any

import pytest

from core.errors import BadRequest, Unsupported
from core.models.completions import CompletionRequest
from core.services.models.capabilities import check

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
IMAGE = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]


def asked(**members: Any) -> CompletionRequest:
    return CompletionRequest(**{"model": "m", "messages": [{"role": "user", "content": "hi"}], **members})


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": IMAGE}]}, "messages[1].content[1]"),
    ],
)
def test_what_a_local_model_cannot_do_is_refused_by_name_with_what_to_do_instead(members: Any, field: str) -> None:
    with pytest.raises(Unsupported, match="upstream") as refused:
        check(asked(**members))
    assert refused.value.param == field
    assert refused.value.detail.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"tools": []},
        {"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": True},
        {"response_format": {"type": "text"}},
        {"modalities": ["text"]},
        {"logprobs": True, "top_logprobs": 20},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    ],
)
def test_what_it_can_do_passes(members: Any) -> None:
    check(asked(**members))


def test_the_likeliest_tokens_need_probabilities() -> None:
    with pytest.raises(BadRequest, match="top_logprobs: needs logprobs"):
        check(asked(top_logprobs=2))


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (5, "messages[1].content"),
        ({"type": "text", "text": "hi"}, "messages[1].content"),
        ([5], "messages[1].content[0]"),
        ([*IMAGE[:1], {"type": "text"}], "messages[1].content[1].text"),
        ([{"type": "text", "text": 5}], "messages[1].content[0].text"),
    ],
)
def test_what_is_no_content_is_named_with_its_place(content: Any, field: str) -> None:
    with pytest.raises(BadRequest, match="must be") as refused:
        check(asked(messages=[{"role": "system", "content": None}, {"role": "user", "content": content}]))
    assert refused.value.param == field
    assert refused.value.detail.startswith(f"{field} must be ")
