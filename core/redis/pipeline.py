"""Calls under way on one node, over one connection that is never waited for."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import redis.asyncio
import redis.exceptions

from core.redis.connection import Argument, Connection
from core.redis.refusals import explain_refusal, refused_by_node, refused_for_slot

ANSWER_TIMEOUT_S = 10


class Call:
    """One command, packed, and the key that it is about. One without an answer is sent by ourselves, and not repeated."""

    __slots__ = ("answer", "deadline", "key", "packed")

    def __init__(
        self, packed: bytes, key: Argument | None = None, answer: "asyncio.Future[Any] | None" = None, deadline: float = 0
    ) -> None:
        self.packed = packed
        self.key = key
        self.answer = answer
        self.deadline = deadline

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.answer is not None and not self.answer.done()

    def settle(self, value: Any) -> None:
        """Give the answer, or raise it, where it is waited for."""
        if self.answer is None or self.answer.done():
            return
        if isinstance(value, Exception):
            self.answer.set_exception(value)
        else:
            self.answer.set_result(value)


class Trial(Call):
    """A call whose answer is looked at before it is given: errors, too, are its value."""

    __slots__ = ()

    def settle(self, value: Any) -> None:
        """Give the answer."""
        if self.answer and not self.answer.done():
            self.answer.set_result(value)


class Pipeline:
    """Answers come in the order of the calls, and are given to their callers.

    A call that is to be made again is given back to ``refuse`` with the reason: at the connection's end all that are under way, in order.
    ``address``: the node's; ``under_way``: what has not been answered; ``closed``: the connection is gone.
    """

    def __init__(self, address: tuple[str, int], refuse: "Callable[[Pipeline, Call, Exception], None]") -> None:
        self.address = address
        self.under_way: deque[Call] = deque()
        self.closed = False
        self._refuse = refuse
        self._reason: Exception = redis.exceptions.ConnectionError("The connection was lost.")
        self._watch: asyncio.TimerHandle | None = None
        self._wire: Connection

    async def open(self, client: "redis.asyncio.Redis", preludes: Iterable[bytes]) -> None:
        """Connect, and send what comes before all else. Raises what redis-py raises."""
        self._wire = await Connection.open(client, self._heard, self._lost)
        for packed in preludes:
            self.send(Call(packed))

    def send(self, call: Call) -> None:
        """Send a call, after all those before it; on a connection that is gone it comes back."""
        if self.closed:
            self._refuse(self, call, self._reason)
            return
        self.under_way.append(call)
        self._wire.send(call.packed)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, self._check, call)

    def attempt(self, packed: bytes) -> "asyncio.Future[Any]":
        """Send a command whose answer, were it an error, is looked at by the caller."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(Trial(packed, answer=answer))
        return answer

    def _check(self, oldest: Call) -> None:
        """A Redis that has stopped to answer is left: there may be another one at its address."""
        self._watch = None
        if self.under_way and self.under_way[0] is oldest:
            self._wire.close()
        elif self.under_way:
            self._watch = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, self._check, self.under_way[0])

    def _heard(self, answer: Any) -> None:
        if not isinstance(answer, Exception):
            self.under_way.popleft().settle(answer)
        elif refused_by_node(answer):
            self._reason = answer
            self._wire.close()  # on the next one scripts are loaded, and all that was not answered is sent again, in order
        elif refused_for_slot(answer):
            self._refuse(self, self.under_way.popleft(), answer)
        else:
            self.under_way.popleft().settle(explain_refusal(answer))

    def _lost(self) -> None:
        self.closed = True
        if self._watch:
            self._watch.cancel()
        while self.under_way:
            self._refuse(self, self.under_way.popleft(), self._reason)
