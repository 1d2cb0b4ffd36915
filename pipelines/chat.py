"""From a question to the entries of its event log, by way of whatever can generate."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from core.models.chats import ChatDetail
from core.models.completions import CompletionRequest, FinishReason, Usage
from core.models.events import ChoiceFinished, Continued, Delta, Event
from core.models.generations import GenerationSpec

_decode_request = msgspec.json.Decoder(CompletionRequest).decode


class Transcript(msgspec.Struct, kw_only=True):
    """What one choice has already given to its readers."""

    text: str = ""
    tokens: list[int] = msgspec.field(default_factory=list)
    finish_reason: FinishReason | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a generator. ``emitted``: what earlier workers gave, per choice; a generator that continues goes on from there."""

    spec: GenerationSpec
    request: CompletionRequest
    messages: Sequence[Mapping[str, Any]]
    emitted: Mapping[int, Transcript] = {}


class Generator(Protocol):
    """The local engine, or an upstream."""

    def continued(self, model_id: str) -> Continued | None:
        """How well a model goes on from another worker's tokens; None: not at all."""

    def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        """Deltas of all choices as they come, each choice's end, and the usage last. Closing it cancels. Raises core.errors."""


def prompt_of(spec: GenerationSpec, chat: ChatDetail | None, log: Iterable[tuple[str, Event]] = ()) -> Prompt:
    """The prompt of a job: a plain completion's own messages, or those of its chat before the answer."""
    request = _decode_request(spec.body)
    messages = request.messages if chat is None else history(chat, spec.message_id or "")
    return Prompt(spec=spec, request=request, messages=messages, emitted=replay(log))


def history(detail: ChatDetail, answer_id: str) -> list[dict[str, Any]]:
    """The messages that lead to an answer: the chat's system prompt, then what was said before it.

    Empty and failed answers are left out.
    """
    system = detail.chat.document.get("system")
    said: list[dict[str, Any]] = [{"role": "system", "content": system}] if isinstance(system, str) and system else []
    for message in detail.messages:
        if message.id == answer_id:
            break
        if message.content:
            said.append({"role": message.role, "content": message.content})
    return said


def replay(log: Iterable[tuple[str, Event]]) -> dict[int, Transcript]:
    """What a log's readers have seen, per choice."""
    seen: dict[int, Transcript] = {}
    for _, event in log:
        note(seen, event)
    return seen


def note(seen: dict[int, Transcript], event: Event) -> None:
    """Add one event to what has been seen."""
    if isinstance(event, Delta):
        transcript = seen.setdefault(event.choice, Transcript())
        transcript.text += event.text
        transcript.tokens.extend(event.tokens)
    elif isinstance(event, ChoiceFinished):
        seen.setdefault(event.choice, Transcript()).finish_reason = event.finish_reason
