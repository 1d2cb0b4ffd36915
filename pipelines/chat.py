"""From a question to the entries of its event log, by way of whatever can generate."""

import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import msgspec

from core.chat_documents.document import as_document, message_document
from core.json.decoding import decode
from core.models.chats import ChatDetail
from core.models.completions import CompletionRequest, FinishReason, Usage
from core.models.events import ChoiceFinished, Delta, Event, Step
from core.models.generations import GenerationSpec
from core.models.numerics import Numerics
from core.models.tools import Tool


class Transcript(msgspec.Struct, kw_only=True):
    """What one choice has already given to its readers."""

    text: str = ""
    tokens: list[int] = msgspec.field(default_factory=list)
    finish_reason: FinishReason | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One request for a generator, which reads ``body`` once and as far as it needs to: ``request`` is for whoever needs all of it.

    ``body``: the client's, as it came. ``said``: the messages that stand for the body's own, if any. ``emitted``: what earlier workers
    gave, per choice; a generator that continues goes on from there. ``tools``: told beside the body's own; ``later``: some were called for
    this answer already, so that the model need not call any.
    """

    spec: GenerationSpec
    body: bytes
    said: Sequence[Mapping[str, Any]] | None = None
    emitted: Mapping[int, Transcript] = {}
    tools: Sequence[Tool] = ()
    later: bool = False

    @cached_property
    def request(self) -> CompletionRequest:
        """The OpenAI request."""
        return decode(self.body, CompletionRequest)

    @cached_property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """What the model reads."""
        return add_system_prompt(self.spec.system, self.request.messages) if self.said is None else self.said


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What a model reads at once: so many ``tokens``, where that is known. ``count``: how many tokens a text is, or nearly."""

    tokens: int | None
    count: Callable[[str], int]


class Generator(Protocol):
    """The local engine, or an upstream."""

    async def prepare(self, model_id: str) -> Numerics | None:
        """How a model computes here, loaded now where it was not; None: another's answer cannot be continued. Raises core.errors."""

    async def window(self, model_id: str) -> Window:
        """What a model reads at once, loaded now where it was not. Raises core.errors."""

    def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        """Deltas of all choices as they come, each choice's end, and the usage last. Closing it cancels. Raises core.errors."""


def prompt_of(
    spec: GenerationSpec,
    body: bytes,
    *,
    chat: ChatDetail | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    log: Iterable[tuple[str, Event]] = (),
) -> Prompt:
    """The prompt of a job: ``messages`` as an earlier claim had them, else a completion's own, or those of its chat before the answer.

    ``body``: the OpenAI request.
    """
    if messages is None and chat is not None:
        messages = add_system_prompt(spec.system, history(chat, spec.message_id or ""))
    return Prompt(spec=spec, body=body, said=messages, emitted=replay(log))


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
    """What a log's readers have seen, per choice: of an answer in rounds, of the last one."""
    seen: dict[int, Transcript] = {}
    for _, event in log:
        add_event(seen, event)
    return seen


def add_event(seen: dict[int, Transcript], event: Event) -> None:
    """Add one event to what has been seen. A step ends a round (pipelines.tools.rounds): nobody goes on with what came before it."""
    if isinstance(event, Delta):
        transcript = seen.setdefault(event.choice, Transcript())
        transcript.text += event.text
        transcript.tokens.extend(event.tokens)
    elif isinstance(event, ChoiceFinished):
        seen.setdefault(event.choice, Transcript()).finish_reason = event.finish_reason
    elif isinstance(event, Step):
        seen.clear()
