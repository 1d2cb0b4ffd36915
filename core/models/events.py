"""What an event log holds. Every face translates these; no face sees anything else of a worker."""

from collections.abc import Iterable
from typing import Any

import msgspec

from core.errors import PenstockError, by_code
from core.models.completions import FinishReason, Logprobs, Usage
from core.models.numerics import Continued
from core.models.sources import Source


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """One entry of a log."""


class Waiting(_Event, frozen=True, kw_only=True, tag="waiting"):
    """Nobody can take the job now; ``detail`` says what is wanting. It waits for that, but not for ever."""

    detail: str


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """A worker has begun, or gone on from where another stopped: then ``continued`` says how well. ``attempt`` counts from 1.

    ``fingerprint``: of the worker's numerics (core.models.numerics).
    """

    model: str
    attempt: int
    worker: str = ""
    continued: Continued | None = None
    fingerprint: str = ""


class Sources(_Event, frozen=True, kw_only=True, tag="sources"):
    """What the answer stands on, before its text; empty where nothing was found. It comes once, whoever takes the answer over."""

    sources: tuple[Source, ...]


class Delta(_Event, frozen=True, kw_only=True, tag="delta"):
    """More of one choice. ``tokens``: the ids behind ``text`` (local engine only): what another worker continues from.

    ``text`` may be empty while a character or a possible stop string is not complete. ``extra``: other members of an
    upstream's delta (tool calls, reasoning). ``logprobs``: where they are asked for.
    """

    text: str = ""
    choice: int = 0
    tokens: tuple[int, ...] = ()
    extra: dict[str, Any] | None = None
    logprobs: Logprobs | None = None


class ChoiceFinished(_Event, frozen=True, kw_only=True, tag="choice_finished"):
    """One choice is complete."""

    choice: int = 0
    finish_reason: FinishReason = "stop"


class Progress(_Event, frozen=True, kw_only=True, tag="progress"):
    """How far a job is: ``completed`` of ``total`` bytes of the part that ``digest`` names; of a batch: items.

    ``failed``: items that were given up.
    """

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None


class Step(_Event, frozen=True, kw_only=True, tag="step"):
    """A step within a job is done: whoever takes the job over does it no more. ``key`` names it within the job; ``result``: JSON, small."""

    key: str
    result: msgspec.Raw


class ToolCall(_Event, frozen=True, kw_only=True, tag="tool_call"):
    """A tool is being called. ``key`` names the call within the job: one that is made again after a worker's death has the same."""

    key: str
    name: str
    arguments: msgspec.Raw


class ToolResult(_Event, frozen=True, kw_only=True, tag="tool_result"):
    """What the tool gave that was called with this ``key``: JSON, small. The call is not made again."""

    key: str
    result: msgspec.Raw


class Finished(_Event, frozen=True, kw_only=True, tag="finished"):
    """The whole job is complete, and its outcome is kept where it has one. ``usage``: of a generation or of vectors, where it is known."""

    usage: Usage | None = None


class Failed(_Event, frozen=True, kw_only=True, tag="failed"):
    """It failed; what arrived before stays. ``code`` is one of core.errors; ``param``: the request's field at fault.

    ``upstream_code``: what the model's server calls it.
    """

    code: str
    detail: str
    retry_after: int | None = None
    param: str | None = None
    upstream_code: str | None = None

    @classmethod
    def of(cls, error: PenstockError) -> "Failed":
        """From what was raised."""
        return cls(
            code=error.code, detail=error.detail, retry_after=error.retry_after, param=error.param, upstream_code=error.upstream_code
        )

    def error(self) -> PenstockError:
        """What was raised, for a face to answer it like an error raised at home."""
        return by_code(self.code)(self.detail, retry_after=self.retry_after, param=self.param, upstream_code=self.upstream_code)


class Cancelled(_Event, frozen=True, kw_only=True, tag="cancelled"):
    """Its user stopped it; what arrived before stays."""


Event = Waiting | Started | Sources | Delta | ChoiceFinished | Progress | Step | ToolCall | ToolResult | Finished | Failed | Cancelled
PROGRESS = (Delta, Step, ToolResult)  # whoever takes the job over goes on behind these
ENDS = (Finished, Failed, Cancelled)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def first_choice(log: Iterable[Event]) -> str:
    """The text that a log's readers have seen, of the choice that is kept."""
    return "".join(event.text for event in log if isinstance(event, Delta) and event.choice == 0)
