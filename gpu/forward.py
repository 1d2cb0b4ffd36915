"""What the runner needs of a model: one call a step, over rows that are tokens."""

from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from core.models.numerics import Numerics
from gpu.cache import Shape
from gpu.prefix_cache import Copy
from gpu.sequence import Sequence


class Run(msgspec.Struct, frozen=True):
    """Tokens ``start..stop`` of a step, neighbours in one cache row."""

    start: int
    stop: int

    @property
    def is_single(self) -> bool:
        """Whether this is one token, as every running answer's run is."""
        return self.stop - self.start == 1


class Batch(msgspec.Struct, frozen=True):
    """One step. ``ids``, ``positions`` and ``rows`` say which token stands where in which cache row.

    ``runs``: which of them are neighbours; single tokens come first. ``wanted`` lists, in order, the tokens whose logits are asked for.
    """

    ids: list[int]
    positions: list[int]
    rows: list[int]
    runs: list[Run]
    wanted: list[int]


class Forward(Protocol):
    """A model with its cache."""

    vocabulary: int
    context_length: int
    numerics: Numerics
    device: str
    shape: Shape

    def allocate(self, rows: int, length: int) -> None:
        """Make the cache: ``rows`` requests of at most ``length`` tokens."""

    def release(self, row: int) -> None:
        """Nothing that a row holds is needed any more: its memory may go back."""

    def copy(self, copy: Copy) -> None:
        """Take over another row's first tokens."""

    def __call__(self, batch: Batch) -> Any:
        """Write the batch's keys and values, return the logits [wanted, vocabulary], as the following take them."""

    def choose(self, logits: Any, sequences: list[Sequence]) -> list[int | None]:
        """The next id of each sequence, by its row, which may be changed; None for a row that is not finite."""

    def log_probabilities(self, row: Any) -> npt.NDArray[np.float32]:
        """The logarithms of what a row of logits means, float32 [vocabulary]."""
