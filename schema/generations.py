"""Answers being made: the events of their logs, and what ends them."""

from enum import StrEnum
from typing import Any, Self

import msgspec
import strawberry
from strawberry.scalars import JSON

from core.models import completions, events, sources


@strawberry.type(description="Tokens, counted.")
class Usage:
    """Projection of core.models.completions.Usage."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, model: completions.Usage) -> Self:
        """From the model."""
        return cls(prompt_tokens=model.prompt_tokens, completion_tokens=model.completion_tokens, total_tokens=model.total_tokens)

    @classmethod
    def posted(cls, found: Any) -> Self | None:
        """From a stored message, where a client may have posted anything under this name."""
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        if not isinstance(found, dict) or not all(isinstance(found.get(name), int) for name in names):
            return None
        return cls(**{name: found[name] for name in names})


@strawberry.enum(description="How well a worker went on from where another one stopped.")
class Continued(StrEnum):
    """core.models.events.Continued."""

    EXACT = "exact"
    EQUIVALENT = "equivalent"


@strawberry.enum(description="Why a choice ended.")
class FinishReason(StrEnum):
    """core.models.completions.FinishReason."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    FUNCTION_CALL = "function_call"


@strawberry.interface(
    description="One event of a generation. Its id is what `generation(after:)` takes: after a break nothing is missed or doubled."
)
class GenerationEvent:
    """An entry of the log: projections of core.models.events, each with the entry's id."""

    id: strawberry.ID


@strawberry.type(description="Nobody can make it now. It waits, but not for ever.")
class GenerationWaiting(GenerationEvent):
    """Projection of Waiting."""

    detail: str = strawberry.field(description="What is wanting.")

    @classmethod
    def of(cls, entry_id: str, event: events.Waiting) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), detail=event.detail)


@strawberry.type(description="A worker has begun, or gone on from where another one stopped.")
class GenerationStarted(GenerationEvent):
    """Projection of Started."""

    model: str
    attempt: int = strawberry.field(description="Counts from 1.")
    continued: Continued | None = strawberry.field(description="Set where it went on from another worker's part.")
    fingerprint: str | None = strawberry.field(description="Equal ones stand for workers that compute the same, bit for bit.")

    @classmethod
    def of(cls, entry_id: str, event: events.Started) -> Self:
        """From the model."""
        continued = Continued(event.continued) if event.continued else None
        return cls(
            id=strawberry.ID(entry_id),
            model=event.model,
            attempt=event.attempt,
            continued=continued,
            fingerprint=event.fingerprint or None,
        )


@strawberry.type(description="A passage that an answer stands on.")
class Source:
    """Projection of core.models.sources.Source."""

    number: int = strawberry.field(description="What the answer calls it: [1].")
    file_id: strawberry.ID
    filename: str
    knowledge_id: strawberry.ID | None = strawberry.field(description="The knowledge base that it was found in, if it was one.")
    pages: list[int] = strawberry.field(description="From 1, where the file has pages.")
    passage: str
    score: float = strawberry.field(description="0 to 1, higher is better.")

    @classmethod
    def of(cls, model: sources.Source) -> Self:
        """From the model."""
        return cls(
            number=model.number,
            file_id=strawberry.ID(model.file_id),
            filename=model.filename,
            knowledge_id=strawberry.ID(model.knowledge_id) if model.knowledge_id else None,
            pages=list(model.pages),
            passage=model.passage,
            score=model.score,
        )


@strawberry.type(description="What the answer stands on, before its text. Empty where nothing was found.")
class GenerationSources(GenerationEvent):
    """Projection of Sources."""

    sources: list[Source]

    @classmethod
    def of(cls, entry_id: str, event: events.Sources) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), sources=[Source.of(source) for source in event.sources])


@strawberry.type(description="More of one choice.")
class GenerationDelta(GenerationEvent):
    """Projection of Delta."""

    choice: int
    text: str
    extra: JSON | None = strawberry.field(description="Other members of the model's delta: tool calls, reasoning.")

    @classmethod
    def of(cls, entry_id: str, event: events.Delta) -> Self:
        """From the model."""
        extra = None if event.extra is None else JSON(event.extra)
        return cls(id=strawberry.ID(entry_id), choice=event.choice, text=event.text, extra=extra)


@strawberry.type(description="One choice is complete.")
class GenerationChoiceFinished(GenerationEvent):
    """Projection of ChoiceFinished."""

    choice: int
    finish_reason: FinishReason

    @classmethod
    def of(cls, entry_id: str, event: events.ChoiceFinished) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), choice=event.choice, finish_reason=FinishReason(event.finish_reason))


@strawberry.type(description="How far a job is that brings something here, or does much in parts.")
class GenerationProgress(GenerationEvent):
    """Projection of Progress. Bytes may be more than GraphQL's Int holds."""

    status: str
    digest: str | None = strawberry.field(description="Which part.")
    total: float | None = strawberry.field(description="Bytes of the part; or items.")
    completed: float | None = strawberry.field(description="Those that are there, or done.")
    failed: int | None = strawberry.field(description="Items that were given up.")

    @classmethod
    def of(cls, entry_id: str, event: events.Progress) -> Self:
        """From the model."""
        return cls(
            id=strawberry.ID(entry_id),
            status=event.status,
            digest=event.digest,
            total=event.total,
            completed=event.completed,
            failed=event.failed,
        )


@strawberry.type(description="A step of the job is done. It is not done again, also where another worker goes on.")
class GenerationStep(GenerationEvent):
    """Projection of Step."""

    key: str = strawberry.field(description="Its name within the job.")
    result: JSON

    @classmethod
    def of(cls, entry_id: str, event: events.Step) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), key=event.key, result=_json(event.result))


@strawberry.type(description="A tool is being called.")
class GenerationToolCall(GenerationEvent):
    """Projection of ToolCall."""

    key: str = strawberry.field(description="The call's name within the job. One that is made again after a worker's death has the same.")
    name: str
    arguments: JSON

    @classmethod
    def of(cls, entry_id: str, event: events.ToolCall) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), key=event.key, name=event.name, arguments=_json(event.arguments))


@strawberry.type(description="What a tool gave.")
class GenerationToolResult(GenerationEvent):
    """Projection of ToolResult."""

    key: str = strawberry.field(description="The call's.")
    result: JSON

    @classmethod
    def of(cls, entry_id: str, event: events.ToolResult) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), key=event.key, result=_json(event.result))


@strawberry.type(description="The whole answer is complete and saved. The last event.")
class GenerationFinished(GenerationEvent):
    """Projection of Finished."""

    usage: Usage | None = strawberry.field(description="Not known where the worker died that had counted it.")

    @classmethod
    def of(cls, entry_id: str, event: events.Finished) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), usage=Usage.of(event.usage) if event.usage else None)


@strawberry.type(description="It failed; what arrived before stays. The last event.")
class GenerationFailed(GenerationEvent):
    """Projection of Failed."""

    code: str = strawberry.field(description="As in an error's `extensions.code`.")
    detail: str
    retry_after: int | None = strawberry.field(description="Seconds to wait before asking again.")

    @classmethod
    def of(cls, entry_id: str, event: events.Failed) -> Self:
        """From the model."""
        return cls(id=strawberry.ID(entry_id), code=event.code, detail=event.detail, retry_after=event.retry_after)


@strawberry.type(description="Its user stopped it; what arrived before stays. The last event.")
class GenerationCancelled(GenerationEvent):
    """Projection of Cancelled."""

    @classmethod
    def of(cls, entry_id: str, event: events.Cancelled) -> Self:
        """From the model."""
        del event
        return cls(id=strawberry.ID(entry_id))


PROJECTIONS: dict[type[events.Event], Any] = {
    events.Started: GenerationStarted,
    events.Sources: GenerationSources,
    events.Delta: GenerationDelta,
    events.ChoiceFinished: GenerationChoiceFinished,
    events.Waiting: GenerationWaiting,
    events.Progress: GenerationProgress,
    events.Step: GenerationStep,
    events.ToolCall: GenerationToolCall,
    events.ToolResult: GenerationToolResult,
    events.Finished: GenerationFinished,
    events.Failed: GenerationFailed,
    events.Cancelled: GenerationCancelled,
}


def event_of(entry_id: str, event: events.Event) -> GenerationEvent:
    """The projection of an entry of the log."""
    projected: GenerationEvent = PROJECTIONS[type(event)].of(entry_id, event)
    return projected


def _json(raw: msgspec.Raw) -> JSON:
    return JSON(msgspec.json.decode(raw))
