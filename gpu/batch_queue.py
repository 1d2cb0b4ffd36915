"""Texts that wait to be embedded, and which of them go next. Policy only: imports no torch.

Queries and bulk wait apart. A batch is built around the oldest that waits: where texts are padded, of those whose lengths are nearest to
its own, as long as one fits; elsewhere in the order in which they came, so that who came first has all of theirs first. Nobody waits for a
batch to become full.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from core.errors import PenstockError
from gpu.shares import Share

WINDOW = 1024  # texts among which neighbours in length are looked for
QUERY_TOKENS = 512  # a request with more is taken for bulk, unless it says what it is

EmbedShare = Literal[Share.QUERIES, Share.BULK]


class EmbedRequest:
    """One request: its texts as ids, and its vectors as they come. ``done`` is read on the loop that it was made on."""

    def __init__(self, texts: list[list[int]], share: EmbedShare | None = None) -> None:
        self.texts = [Text(ids, self, place) for place, ids in enumerate(texts)]
        self.tokens = sum(map(len, texts))
        self.share: EmbedShare = share or (Share.QUERIES if self.tokens <= QUERY_TOKENS else Share.BULK)
        self.rows: list[bytes] = [b""] * len(texts)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = len(texts)

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

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for its request."""
        return not self.order.done.done()


class BatchQueue:
    """The queue; callers guard it against one another."""

    def __init__(self, budgets: Mapping[EmbedShare, int], *, is_padded: bool) -> None:
        """``budgets``: how many tokens a batch may have, its padding counted where ``is_padded``."""
        self._budgets = budgets
        self._is_padded = is_padded
        self._waiting: dict[EmbedShare, deque[Text]] = {share: deque() for share in budgets}
        self._near: dict[EmbedShare, list[Text]] = {share: [] for share in budgets}

    def add(self, order: EmbedRequest) -> None:
        """Queue an order."""
        self._waiting[order.share].extend(order.texts)

    def count(self, share: EmbedShare) -> int:
        """How many texts wait."""
        return len(self._near[share]) + len(self._waiting[share])

    def take(self, share: EmbedShare) -> list[Text]:
        """The next batch, shortest first; empty where nothing waits. Orders that nobody waits for any more are left out."""
        near, waiting = [text for text in self._near[share] if text.is_wanted], self._waiting[share]
        while waiting and len(near) < WINDOW:
            text = waiting.popleft()
            if text.is_wanted:
                near.append(text)
        batch: list[Text] = []
        longest = total = 0
        for text in sorted(near, key=lambda text: (text is not near[0], self._is_padded and abs(len(text) - len(near[0])))):
            size = (len(batch) + 1) * max(longest, len(text)) if self._is_padded else total + len(text)
            if batch and size > self._budgets[share]:
                continue
            batch.append(text)
            longest, total = max(longest, len(text)), total + len(text)
        taken = set(map(id, batch))
        self._near[share] = [text for text in near if id(text) not in taken]
        return sorted(batch, key=len)

    def drain(self) -> list[Text]:
        """All that wait; none are left."""
        left = [text for share in self._budgets for text in (*self._near[share], *self._waiting[share])]
        for share in self._budgets:
            self._near[share] = []
            self._waiting[share].clear()
        return left


def group_by_request(texts: Iterable[Text]) -> dict[EmbedRequest, list[int]]:
    """The orders that texts belong to, each with the indexes of its own among them."""
    found: dict[EmbedRequest, list[int]] = {}
    for index, text in enumerate(texts):
        found.setdefault(text.order, []).append(index)
    return found
