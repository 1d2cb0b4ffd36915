from typing import Any

import pytest

from core.chat_documents.document import build_messages, split_document
from core.models.chats import Chat, ChatDetail
from core.models.events import ChoiceFinished, Delta, Event, Started
from core.models.generations import GenerationSpec
from pipelines.chat import Transcript, add_system_prompt, history, prompt_of, replay


def detail(document: dict[str, Any]) -> ChatDetail:
    pieces = split_document(document)
    chat = Chat(id="c", user_id="u", title="t", document=pieces.document, layout=pieces.layout, created_at=1, updated_at=1)
    return ChatDetail(chat=chat, messages=tuple(build_messages(pieces, chat_id="c", now=1)))


def said(name: str, role: str = "user", parent: str | None = None) -> dict[str, Any]:
    return {"id": name, "role": role, "content": f"says {name}", "timestamp": 1, "parentId": parent}


def test_a_list_leads_to_the_answer_and_what_comes_after_it_does_not() -> None:
    found = history(
        detail({"messages": [said("a"), said("b", "assistant"), said("c"), said("answer", "assistant"), said("later")]}), "answer"
    )
    assert [message["content"] for message in found] == ["says a", "says b", "says c"]


def test_the_chats_system_prompt_comes_first_and_empty_messages_are_left_out() -> None:
    empty = {"id": "e", "role": "assistant", "content": "", "timestamp": 1}
    found = history(detail({"system": "Be brief.", "messages": [said("a"), empty]}), "not there")
    assert found == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "says a"}]


def test_only_the_branch_of_a_tree_that_leads_to_the_answer_is_asked_about() -> None:
    nodes = (
        said("a"),
        said("left", "assistant", "a"),
        said("right", "assistant", "a"),
        said("b", "user", "right"),
        said("answer", "assistant", "b"),
    )
    found = history(detail({"history": {"messages": {node["id"]: node for node in nodes}, "currentId": "answer"}}), "answer")
    assert [message["content"] for message in found] == ["says a", "says right", "says b"]


def test_a_tree_whose_parents_go_round_in_a_circle_ends() -> None:
    nodes = (said("a", parent="b"), said("b", parent="a"), said("answer", "assistant", "b"))
    found = history(detail({"history": {"messages": {node["id"]: node for node in nodes}}}), "answer")
    assert [message["content"] for message in found] == ["says a", "says b"]


def test_a_log_is_replayed_per_choice() -> None:
    log: list[tuple[str, Event]] = [
        ("1-1", Started(model="m", attempt=1)),
        ("1-2", Delta(text="a", tokens=(1,))),
        ("1-3", Delta(text="x", choice=1, tokens=(9,))),
        ("2-1", Delta(text="b", tokens=(2, 3))),
        ("2-2", ChoiceFinished(choice=1, finish_reason="length")),
    ]
    assert replay(log) == {0: Transcript(text="ab", tokens=[1, 2, 3]), 1: Transcript(text="x", tokens=[9], finish_reason="length")}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "hi"}], [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}]),
        ([{"role": "system", "content": "T"}], [{"role": "system", "content": "S\n\nT"}]),
        ([{"role": "system", "content": None}], [{"role": "system", "content": "S"}]),
        (
            [{"role": "system", "content": [{"type": "text", "text": "T"}]}],
            [{"role": "system", "content": [{"type": "text", "text": "S"}, {"type": "text", "text": "T"}]}],
        ),
    ],
)
def test_a_custom_models_system_prompt_comes_first(messages: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert add_system_prompt("S", messages) == expected
    assert add_system_prompt("", messages) == messages


def test_whole_numbers_may_be_written_with_a_fraction_in_a_job_as_in_a_request() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":10.0}'
    spec = GenerationSpec(id="1", user_id="u", model="m", seed=1, created_at=1)
    assert prompt_of(spec, body).request.max_tokens == 10
