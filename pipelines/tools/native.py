"""Calls of models that know tools: a client's own pass, ours are taken out of what is told."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from core.models.events import Delta
from pipelines.tools.joining import JoinedCalls, members_of, text_of
from pipelines.tools.rounds import ToolRequest


class NativeCalls:
    """One round. ``theirs``: names of the tools that the client runs itself."""

    def __init__(self, theirs: Collection[str]) -> None:
        self._theirs = theirs
        self._joined = JoinedCalls()
        self._shown: dict[int, int] = {}
        self._text: list[str] = []

    def hear(self, delta: Delta) -> Iterator[Delta]:
        """What of a piece is the client's to see."""
        self._text.append(delta.text)
        pieces = (delta.extra or {}).get("tool_calls")
        if not isinstance(pieces, list):
            yield delta
            return
        extra = {name: value for name, value in (delta.extra or {}).items() if name != "tool_calls"}
        if shown := [found for piece in pieces if isinstance(piece, dict) and (found := self._add(piece))]:
            extra["tool_calls"] = shown
        if delta.text or delta.logprobs or extra:
            yield msgspec.structs.replace(delta, extra=extra or None)

    def end(self) -> Iterable[Delta]:
        """What was held back: nothing."""
        return ()

    @property
    def text(self) -> str:
        """What was said beside the calls."""
        return "".join(self._text)

    @property
    def theirs_called(self) -> bool:
        """Whether a tool of the client's was called."""
        return bool(self._shown)

    @property
    def calls(self) -> tuple[ToolRequest, ...]:
        """Those of ours, and of what nobody knows."""
        return tuple(_request(place, call) for place, call in enumerate(self._joined.calls) if place not in self._shown)

    def _add(self, piece: dict[str, Any]) -> dict[str, Any] | None:
        """A piece of a client's call, which it counts without ours; None of others."""
        place = self._joined.add(piece)
        if members_of(self._joined.calls[place].get("function")).get("name") not in self._theirs:
            return None
        return {**piece, "index": self._shown.setdefault(place, len(self._shown))}


def _request(place: int, call: dict[str, Any]) -> ToolRequest:
    function = members_of(call.get("function"))
    arguments = function.get("arguments")
    written = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    return ToolRequest(id=text_of(call.get("id")) or f"call_{place}", name=text_of(function.get("name")), arguments=written)
