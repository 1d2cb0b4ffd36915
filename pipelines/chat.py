"""From a question to the entries of its event log, by way of whatever can generate."""

import itertools
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from core.chat_documents.document import as_document, message_document
from core.json.decoding import decode
from core.models.chats import ChatDetail
from core.models.completions import CompletionRequest, FinishReason, Usage
from core.models.events import ChoiceFinished, Delta, Event, Started
from core.models.generations import JobSpec
from core.models.numerics import Numerics


class Transcript(msgspec.Struct, kw_only=True):
    """What one choice has already given to its readers."""

    text: str = ""
    tokens: list[int] = msgspec.field(default_factory=list)
    finish_reason: FinishReason | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a generator. ``emitted``: what earlier workers gave, per choice; a generator that continues goes on from there."""

    spec: JobSpec
    request: CompletionRequest
    messages: Sequence[Mapping[str, Any]]
    emitted: Mapping[int, Transcript] = {}


class Generator(Protocol):
    """The local engine, or an upstream."""

    async def prepare(self, model_id: str) -> Numerics | None:
        """How a model computes here, loaded now where it was not; None: another's answer cannot be continued. Raises core.errors."""

    def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        """Deltas of all choices as they come, each choice's end, and the usage last. Closing it cancels. Raises core.errors."""


def prompt_of(spec: JobSpec, chat: ChatDetail | None, log: Iterable[tuple[str, Event]] = ()) -> Prompt:
    """The prompt of a job: a plain completion's own messages, or those of its chat before the answer."""
    request = decode(bytes(spec.body), CompletionRequest)
    messages = request.messages if chat is None else history(chat, spec.message_id or "")
    return Prompt(spec=spec, request=request, messages=add_system_prompt(spec.system, messages), emitted=replay(log))


def add_system_prompt(system: str, messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """A custom model's system prompt before all else; in one message with the request's own, because many templates know only one."""
    if not system:
        return messages
    first = messages[0] if messages else {}
    if first.get("role") != "system":
        return [{"role": "system", "content": system}, *messages]
    said = first.get("content")
    if isinstance(said, list):
        content: Any = [{"type": "text", "text": system}, *said]
    else:
        content = f"{system}\n\n{said}" if said else system
    return [{**first, "content": content}, *messages[1:]]


def history(detail: ChatDetail, answer_id: str) -> list[dict[str, Any]]:
    """The messages that lead to an answer: the chat's system prompt, then what was said before it; empty ones are left out.

    In an Open WebUI tree that is the branch from the answer up; otherwise the list as far as the answer.
    """
    system = _system(detail.chat.document)
    said: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    tree = (as_document(detail).get("history") or {}).get("messages") or {}
    listed = [message_document(message) for message in detail.messages]
    before = _branch(tree, answer_id) if answer_id in tree else itertools.takewhile(lambda message: message.get("id") != answer_id, listed)
    said.extend(
        {"role": message["role"], "content": message["content"]} for message in before if message.get("content") and message.get("role")
    )
    return said


def _system(document: Mapping[str, Any]) -> str:
    """A chat's system prompt: where Open WebUI's clients keep it now, else where they kept it before."""
    params = document.get("params")
    places = (params if isinstance(params, dict) else {}, document)
    return next((said for place in places if isinstance(said := place.get("system"), str) and said), "")


def _branch(tree: Mapping[str, Mapping[str, Any]], answer_id: str) -> list[Mapping[str, Any]]:
    """From the root to the answer's parent. A tree whose parents go round in a circle ends where it would begin again."""
    branch: dict[str, Mapping[str, Any]] = {}
    parent = tree[answer_id].get("parentId")
    while isinstance(parent, str) and parent in tree and parent not in branch:
        branch[parent] = tree[parent]
        parent = tree[parent].get("parentId")
    return list(reversed(branch.values()))


def replay(log: Iterable[tuple[str, Event]]) -> dict[int, Transcript]:
    """What a log's readers have seen, per choice."""
    seen: dict[int, Transcript] = {}
    for _, event in log:
        add_event(seen, event)
    return seen


def origin(log: Iterable[tuple[str, Event]]) -> str:
    """The fingerprint of whoever made all that a log's readers have seen; "" where that is nothing, not known, or of more than one."""
    fingerprint, found = "", set()
    for _, event in log:
        if isinstance(event, Started):
            fingerprint = event.fingerprint
        elif isinstance(event, ChoiceFinished) or (isinstance(event, Delta) and (event.text or event.tokens)):
            found.add(fingerprint)
    return found.pop() if len(found) == 1 else ""


def add_event(seen: dict[int, Transcript], event: Event) -> None:
    """Add one event to what has been seen."""
    if isinstance(event, Delta):
        transcript = seen.setdefault(event.choice, Transcript())
        transcript.text += event.text
        transcript.tokens.extend(event.tokens)
    elif isinstance(event, ChoiceFinished):
        seen.setdefault(event.choice, Transcript()).finish_reason = event.finish_reason
