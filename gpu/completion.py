"""An answer as it grows: ids in, visible text out, and when it ends.

Replaying the same ids gives the same texts, so that another worker can go on.
"""

from tokenizers import Tokenizer

from gpu.detokenizer import Detokenizer
from gpu.requests import FinishReason  # noqa: TC001 - for readers of annotations at run time
from gpu.stops import StopMatcher


class Completion:
    """``ends``: the ids that end an answer; ``room``: how many ids it may have."""

    def __init__(self, tokenizer: Tokenizer, *, ends: frozenset[int], stops: tuple[str, ...], room: int) -> None:
        self._ends = ends
        self._room = room
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopMatcher(stops)
        self._count = 0
        self.finish_reason: FinishReason | None = None

    def push(self, token: int) -> str:
        """The text that becomes visible with this id; sets ``finish_reason`` with the last one."""
        self._count += 1
        if token in self._ends:
            self.finish_reason = "stop"
            return self._stops.flush()
        visible = self._stops.push(self._detokenizer.push(token))
        if self._stops.found:
            self.finish_reason = "stop"
        elif self._count >= self._room:
            self.finish_reason = "length"
            visible += self._stops.flush()
        return visible

    def is_end(self, token: int) -> bool:
        """Whether an id only says that the answer is over."""
        return token in self._ends
