"""Texts that wait to be embedded, and which of them go next. Policy only: imports no torch.

Questions go before passages. A batch is built around the oldest that waits, of those whose lengths are nearest to its own, so that little
is padded; nobody waits for a batch to become full.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from core.errors import PenstockError

WINDOW = 1024  # texts among which neighbours in length are looked for


class EmbedRequest:
    """One request: its texts as ids, and its vectors as they come. ``done`` is read on the loop that it was made on."""

    def __init__(self, texts: list[list[int]]) -> None:
        self.texts = [Text(ids, self, place) for place, ids in enumerate(texts)]
        self.rows: list[bytes] = [b""] * len(texts)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = len(texts)

    @property
    def is_question(self) -> bool:
        """One text alone is taken for a question; several for passages of something long."""
        return len(self.texts) == 1

    def deliver(self, made: Sequence[tuple[int, bytes]] | PenstockError) -> None:
        """Vectors by their places, or what went wrong; callable from any thread. A loop that has closed has no readers."""
        with contextlib.suppress(RuntimeError):
            self.done.get_loop().call_soon_threadsafe(self._put, made)

    def _put(self, made: Sequence[tuple[int, bytes]] | PenstockError) -> None:
        if self.done.done():
            return
        if isinstance(made, PenstockError):
            self.done.set_exception(made)
            return
        for place, row in made:
            self.rows[place] = row
        self._left -= len(made)
        if not self._left:
            self.done.set_result(None)


class Text:
    """One input of an order."""

    __slots__ = ("ids", "order", "place")

    def __init__(self, ids: list[int], order: EmbedRequest, place: int) -> None:
        self.ids = ids
        self.order = order
        self.place = place

    def __len__(self) -> int:
        """How many tokens it is."""
        return len(self.ids)


class BatchQueue:
    """The queue; callers guard it against one another."""

    def __init__(self, *, budget: int) -> None:
        """``budget``: how many tokens a batch may have, its padding counted."""
        self._budget = budget
        self._questions: list[Text] = []
        self._passages: list[Text] = []

    def add(self, order: EmbedRequest) -> None:
        """Queue an order."""
        (self._questions if order.is_question else self._passages).extend(order.texts)

    def take(self) -> list[Text]:
        """The next batch, shortest first; empty where nothing waits. Orders that nobody waits for any more are left out."""
        self._questions, self._passages = _wanted(self._questions), _wanted(self._passages)
        window = (self._questions[:WINDOW] + self._passages[:WINDOW])[:WINDOW]
        if not window:
            return []
        first = window[0]
        batch: list[Text] = []
        longest = 0
        for text in sorted(window, key=lambda text: (text is not first, not text.order.is_question, abs(len(text) - len(first)))):
            longest = max(longest, len(text))
            if batch and (len(batch) + 1) * longest > self._budget:
                break
            batch.append(text)
        taken = set(map(id, batch))
        self._questions, self._passages = ([text for text in texts if id(text) not in taken] for texts in (self._questions, self._passages))
        return sorted(batch, key=len)

    def drain(self) -> list[Text]:
        """All that wait; none are left."""
        left = self._questions + self._passages
        self._questions, self._passages = [], []
        return left


def _wanted(texts: list[Text]) -> list[Text]:
    return [text for text in texts if not text.order.done.done()]


def group_by_request(texts: Iterable[Text]) -> dict[EmbedRequest, list[int]]:
    """The orders that texts belong to, each with the indexes of its own among them."""
    found: dict[EmbedRequest, list[int]] = {}
    for index, text in enumerate(texts):
        found.setdefault(text.order, []).append(index)
    return found
