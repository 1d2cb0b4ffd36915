"""An answer's events gathered into OpenAI's whole chat completion.

Source: the ``CreateChatCompletionResponse`` schema of OpenAI's API reference.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from api.openai.completion_chunks import completion_id
from core.models.events import ChoiceFinished, Delta, Event, Finished, Sources, Started, ToolCall, ToolResult
from core.models.generations import GenerationSpec
from core.services.sources import describe
from core.services.tools import describe_calls
from pipelines.tools.joining import JoinedCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.models.completions import FinishReason, Logprobs, Usage
    from core.models.sources import Source


class Completion:
    """One answer, as far as it has come."""

    def __init__(self, spec: GenerationSpec) -> None:
        self._spec = spec
        self._choices: defaultdict[int, _Choice] = defaultdict(_Choice)
        self._usage: Usage | None = None
        self._continued: str | None = None
        self._fingerprint = ""
        self._sources: Sequence[Source] | None = None
        self._calls: list[Event] = []

    def add(self, event: Event) -> None:
        """One more event."""
        if isinstance(event, Delta):
            self._choices[event.choice].add(event)
        elif isinstance(event, ChoiceFinished):
            self._choices[event.choice].finish_reason = event.finish_reason
        elif isinstance(event, Finished):
            self._usage = event.usage
        elif isinstance(event, Sources):
            self._sources = event.sources
        elif isinstance(event, ToolCall | ToolResult):
            self._calls.append(event)
        elif isinstance(event, Started):
            self._continued = event.continued or self._continued
            self._fingerprint = event.fingerprint

    def document(self) -> dict[str, Any]:
        """The completion. One that was stopped has no usage; one that went on from another worker's part says how well."""
        body: dict[str, Any] = {
            "id": completion_id(self._spec),
            "object": "chat.completion",
            "created": self._spec.created_at,
            "model": self._spec.model,
            "choices": [choice.document(index) for index, choice in sorted((self._choices or {0: _Choice()}).items())],
        }
        if self._fingerprint:
            body["system_fingerprint"] = self._fingerprint
        if self._usage:
            body["usage"] = self._usage
        if self._continued:
            body["continued"] = self._continued
        if self._sources is not None:
            body["sources"] = describe(self._sources)
        if self._calls:
            body["tool_calls"] = describe_calls(self._calls)
        return body


class _Choice:
    def __init__(self) -> None:
        self.finish_reason: FinishReason = "stop"
        self._text: list[str] = []
        self._extra: dict[str, Any] = {}
        self._logprobs: Logprobs | None = None
        self._calls = JoinedCalls()

    def add(self, event: Delta) -> None:
        if event.text:
            self._text.append(event.text)
        if event.logprobs:
            self._logprobs = self._logprobs.joined(event.logprobs) if self._logprobs else event.logprobs
        for name, value in (event.extra or {}).items():
            if name == "tool_calls":
                for piece in value if isinstance(value, list) else ():
                    if isinstance(piece, dict):
                        self._calls.add(piece)
                self._extra[name] = self._calls.calls
            else:
                self._extra[name] = _joined(self._extra.get(name), value)

    def document(self, index: int) -> dict[str, Any]:
        text = "".join(self._text)
        message = {"role": "assistant", "content": text if text or not self._extra else None, "refusal": None, **self._extra}
        return {"index": index, "message": message, "logprobs": self._logprobs, "finish_reason": self.finish_reason}


def _joined(known: Any, more: Any) -> Any:
    return known + more if isinstance(known, str) and isinstance(more, str) else more
