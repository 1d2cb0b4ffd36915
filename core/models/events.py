"""What an event log holds. Every face translates these; no face sees anything else of a worker."""

from typing import Any

import msgspec

from core.errors import PenstockError, by_code
from core.models.completions import FinishReason, Logprobs, Usage
from core.models.numerics import Continued


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """One entry of a log."""


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """A worker has begun, or gone on from where another stopped: then ``continued`` says how well. ``attempt`` counts from 1.

    ``fingerprint``: of the worker's numerics (core.models.numerics).
    """

    model: str
    attempt: int
    worker: str = ""
    continued: Continued | None = None
    fingerprint: str = ""


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
    """How far a job is that brings something here: ``completed`` of ``total`` bytes of the part that ``digest`` names."""

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None


class Finished(_Event, frozen=True, kw_only=True, tag="finished"):
    """The whole generation is complete, and saved where it has a chat."""

    usage: Usage


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


Event = Started | Delta | ChoiceFinished | Progress | Finished | Failed | Cancelled
ENDS = (Finished, Failed, Cancelled)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
