"""An answer's events as the chunks of OpenAI's streamed chat completions.

Source: the ``CreateChatCompletionStreamResponse`` schema of OpenAI's API reference. What all chunks of an answer share is encoded once.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from core.models.completions import Logprobs
from core.models.events import ENDS, ChoiceFinished, Delta, Event, Finished, Sources, Started, ToolCall, ToolResult, Waiting
from core.models.generations import GenerationSpec
from core.services.sources import describe
from core.services.tools import describe_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.models.sources import Source

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class CompletionChunks:
    """The writer of one answer's stream.

    Each chunk carries its event's id, so that a broken stream goes on at ``/api/generations/{id}/events``.
    """

    def __init__(self, spec: GenerationSpec, *, include_usage: bool) -> None:
        self._spec = spec
        self._head = _head(spec)
        self._tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._include_usage = include_usage
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._continued: str | None = None
        self._sources: Sequence[Source] | None = None
        self._calls: list[Event] = []

    def render(self, entry_id: str, event: Event) -> bytes:
        """What a client is sent for an event; empty for what it need not see. Not for an answer's end by failure."""
        if isinstance(event, Delta):
            return self._delta(entry_id, event)
        if isinstance(event, ChoiceFinished):
            self._finished.add(event.choice)
            return self._chunk(entry_id, event.choice, {}, event.finish_reason)
        if isinstance(event, Waiting):
            return b": " + event.detail.encode() + b"\n"  # a comment, which clients pass over; a blank line would make it an event
        self._note(event)
        return self._end(entry_id, event) if isinstance(event, ENDS) else b""

    def _note(self, event: Event) -> None:
        """What is told with what comes later."""
        if isinstance(event, Sources):
            self._sources = event.sources
        elif isinstance(event, ToolCall | ToolResult):
            self._calls.append(event)
        elif isinstance(event, Started):
            self._continued = event.continued or self._continued
            if event.fingerprint:
                self._head = _head(self._spec, system_fingerprint=event.fingerprint)

    def _delta(self, entry_id: str, event: Delta) -> bytes:
        delta: dict[str, Any] = {"content": event.text} if event.text or not event.extra else {}
        if event.extra:
            delta |= event.extra
        if event.choice not in self._begun:
            self._begun.add(event.choice)
            delta = {"role": "assistant", "content": "", **delta}
        elif not event.text and not event.extra and not event.logprobs:
            return b""
        return self._chunk(entry_id, event.choice, delta, None, event.logprobs)

    def _end(self, entry_id: str, event: Event) -> bytes:
        """A stopped answer has choices that never finished; its usage is not known.

        What it stands on, and the tools that were called for it, come after the answer in a chunk that adds nothing to it: who knows
        nothing of them reads an empty delta.
        """
        choices = self._begun or {0}
        parts = [self._chunk(entry_id, choice, {}, "stop") for choice in sorted(choices - self._finished)]
        more = {"sources": describe(self._sources)} if self._sources is not None else {}
        if self._calls:
            more["tool_calls"] = describe_calls(self._calls)
        if more:
            parts.append(self._chunk(entry_id, min(choices), {}, None, more=more))
        if self._include_usage and isinstance(event, Finished) and event.usage:
            parts.append(self._head + b'],"usage":' + _encode(event.usage) + b"}\n\n")
        return b"".join((*parts, b"id: ", entry_id.encode(), b"\n", DONE))

    def _chunk(
        self,
        entry_id: str,
        choice: int,
        delta: dict[str, Any],
        finish_reason: str | None,
        logprobs: Logprobs | None = None,
        *,
        more: dict[str, Any] | None = None,
    ) -> bytes:
        body = _encode({"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason})
        tail = self._tail
        if more:
            tail = b"]," + _encode(more)[1:-1] + tail[1:]
        if finish_reason and self._continued:
            tail = b'],"continued":' + _encode(self._continued) + tail[1:]
        return b"".join((b"id: ", entry_id.encode(), b"\n", self._head, body, tail))


def _head(spec: GenerationSpec, **more: str) -> bytes:
    """A chunk as far as its choices."""
    shared = {"id": completion_id(spec), "object": "chat.completion.chunk", "created": spec.created_at, "model": spec.model, **more}
    return b"data: " + _encode({**shared, "choices": []})[:-2]


def completion_id(spec: GenerationSpec) -> str:
    """OpenAI's form of a generation's id."""
    return f"chatcmpl-{spec.id}"


def error_event(error: dict[str, Any]) -> bytes:
    """A failure inside a stream, after which nothing comes, ``[DONE]`` least of all."""
    return b"data: " + _encode({"error": error}) + b"\n\n"
