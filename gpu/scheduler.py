"""Who is computed in the next step. Policy only: imports no torch.

A running answer has one id to be computed and is always served. Prompts, and answers taken over, share a number of tokens that keeps a
step short: half of it is the oldest's, the rest goes to the shortest first.
So a long prompt stalls neither running answers nor a short newcomer. What a prompt has in common with another is computed once.
"""

from collections import deque

import msgspec

from gpu.config import EngineConfig
from gpu.prefix_cache import Copy, PrefixCache, shared_length
from gpu.sequence import Sequence

MOST_PATIENCE = 4
SINGLE_COST = 2  # a running answer's token costs about as much as two of a prompt


class Work(msgspec.Struct, frozen=True):
    """Compute ids ``start..stop`` of a sequence; with its last one, sample the next."""

    sequence: Sequence
    start: int
    stop: int

    @property
    def completes(self) -> bool:
        """Whether the sequence's next id can be sampled after this."""
        return self.stop == len(self.sequence.ids)

    @property
    def is_single(self) -> bool:
        """Whether this is one id, as every running answer's work is."""
        return self.stop - self.start == 1

    @property
    def row(self) -> int:
        """The sequence's cache row."""
        if self.sequence.row is None:
            raise ValueError(self)
        return self.sequence.row


class Scheduler:
    """Sequences waiting for a row, and those that have one, oldest first.

    ``released`` rows and ``copies`` are to be carried out before the step that was planned with them, in this order.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._free = PrefixCache(config.rows, config.least_shared)
        self.prefill_tokens = config.first_prefill
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.released: list[int] = []
        self.copies: list[Copy] = []

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self.waiting.append(sequence)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.running or self.waiting)

    def sweep(self) -> None:
        """Let go of sequences that have ended; their rows are free, and hold what they hold until something else needs the place."""
        self.waiting = deque(sequence for sequence in self.waiting if not sequence.ended)
        for sequence in self.running:
            if sequence.ended:
                self._take_back(sequence)
        self.running = [sequence for sequence in self.running if not sequence.ended]

    def plan(self) -> list[Work]:
        """The next step: single ids by cache row, then pieces of prompts. Empty when there is nothing to do."""
        self.released, self.copies = [], []
        self._make_room()
        self._admit()
        prompts = self._begun()
        works = [Work(sequence, sequence.computed, len(sequence.ids)) for sequence in self.running if sequence.pending == 1]
        return sorted(works + self._prefill(prompts), key=lambda work: (not work.is_single, work.row))

    def observe(self, works: list[Work], seconds: float) -> None:
        """How long a step took: prompts may have as many tokens as fit the time that a step may take."""
        single = sum(work.is_single for work in works)
        pieces = sum(work.stop - work.start for work in works if not work.is_single)
        if pieces >= self._config.least_prefill:
            fitting = int((pieces + SINGLE_COST * single) / seconds * self._config.step_seconds)
            self.prefill_tokens = min(max((self.prefill_tokens + fitting) // 2, self._config.least_prefill), self._config.most_prefill)

    def _begun(self) -> list[Sequence]:
        """Prompts to go on with, oldest first. One that begins like another takes over what that has computed, or waits for it."""
        begun: list[Sequence] = []
        for sequence in self.running:
            if sequence.computed == 0 and sequence.pending > 1:
                row, length = self._best(sequence)
                coming = max((shared_length(other.ids, sequence.ids, self._config.least_shared) for other in begun), default=0)
                if coming >= length + self._config.least_shared:
                    continue
                if length:
                    self.copies.append(Copy(row, sequence.row or 0, length))
                    sequence.computed = length
            if sequence.pending > 1:
                begun.append(sequence)
        return begun

    def _best(self, sequence: Sequence) -> tuple[int, int]:
        """(row, length): who has computed most of what a sequence begins with. The last id is always computed anew: it gives the logits."""
        row, length = self._free.best(sequence.ids)
        for other in self.running:
            common = (
                min(shared_length(other.ids, sequence.ids, self._config.least_shared), other.computed)
                if other.computed > length and other.row is not None
                else 0
            )
            if common > length:
                row, length = other.row or 0, common
        length = min(length, len(sequence.ids) - 1)
        return row, length if length >= self._config.least_shared else 0

    def _prefill(self, waiting: list[Sequence]) -> list[Work]:
        """Pieces of prompts. One that would fit a step whole is cut only where it is the oldest and nothing else would be served.

        Where many wait and few run, a step may take longer: it then holds up few for the good of many.
        """
        if not waiting:
            return []
        patience = min(max(2 * len(waiting) / max(1, len(self.running) - len(waiting)), 1), MOST_PATIENCE)
        budget, oldest = int(self.prefill_tokens * patience), waiting[0]
        kept = min(oldest.pending, budget // 2)
        left, works = budget - kept, list[Work]()
        for sequence in sorted(waiting, key=lambda sequence: sequence.pending):
            own = kept if sequence is oldest else 0
            share = min(sequence.pending, left + own)
            if share < sequence.pending <= budget and (works or not own):
                share = own
            if share:
                works.append(Work(sequence, sequence.computed, sequence.computed + share))
                left -= share - own
        return works

    def _admit(self) -> None:
        held = sum(len(sequence.ids) + 1 for sequence in self.running)
        while self.waiting and self._free:
            held += len(self.waiting[0].ids) + 1
            if held > self._config.cache_tokens and self.running:
                return
            self._shrink(held)
            sequence = self.waiting.popleft()
            sequence.row, length = self._free.take(sequence.ids)
            sequence.computed = min(length, len(sequence.ids) - 1)
            if not length:
                self.released.append(sequence.row)
            self.running.append(sequence)

    def _make_room(self) -> None:
        """When the cache is full, the youngest goes back to waiting: it begins again later from its ids, and loses time only."""
        held = sum(len(sequence.ids) + 1 for sequence in self.running)
        while held > self._config.cache_tokens and len(self.running) > 1:
            youngest = self.running.pop()
            held -= len(youngest.ids) + 1
            self._take_back(youngest)
            self.waiting.appendleft(youngest)
        self._shrink(held)

    def _shrink(self, held: int) -> None:
        """Free rows hold no more than running ones leave."""
        while held + self._free.tokens > self._config.cache_tokens and (row := self._free.forget()) is not None:
            self.released.append(row)

    def _take_back(self, sequence: Sequence) -> None:
        if sequence.row is not None:
            self._free.give(sequence.row, sequence.ids[: sequence.computed])
        sequence.row, sequence.computed = None, 0
