"""From a question and passages to how well they fit, by way of whatever can compare them."""

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """The local cross-encoder."""

    async def score(self, query: str, passages: Sequence[str]) -> Sequence[float]:
        """Of each passage, 0 to 1, higher is better. Cancelling it ends it. Raises core.errors."""
