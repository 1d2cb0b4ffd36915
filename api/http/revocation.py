"""Tokens of connections that last: each is looked at now and then, and at once when its user may do less than before."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.http.errors import report_bug
from core.errors import Forbidden, PenstockError, Unauthenticated, Unavailable
from core.models.users import Principal, Role
from core.services import Services
from core.services.notifications import REVOKED

CHECK_S = 15.0


@dataclass(kw_only=True, slots=True, eq=False)
class HeldToken:
    """What one connection came in with.

    ``may`` raises Forbidden for those to whom the connection is closed. ``end`` lets out one whose token is no longer good, once;
    ``still`` is told each time that it is.
    """

    token: str
    user_id: str
    may: Callable[[Principal], None]
    end: Callable[[PenstockError], Awaitable[None]]
    still: Callable[[], Awaitable[None]] | None = None


class HeldTokens:
    """All of a process: one listener, whatever holds them. Each is looked at every CHECK_S, and at once when its user has fewer rights."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held: set[HeldToken] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def open(self) -> None:
        """Begin to look."""
        self._tasks = (asyncio.create_task(self._look()), asyncio.create_task(self._hear()))

    async def close(self) -> None:
        """Look no more."""
        tasks = (*self._tasks, *self._ending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hold(self, held: HeldToken) -> None:
        """Look after one, until it is dropped or has ended."""
        self._held.add(held)

    def drop(self, held: HeldToken) -> None:
        """Its connection has gone."""
        self._held.discard(held)

    @contextmanager
    def holding(self, held: HeldToken) -> Iterator[None]:
        """Look after one while the block runs."""
        self.hold(held)
        try:
            yield
        finally:
            self.drop(held)

    async def _look(self) -> None:
        """At one after the other, so that nobody's turn comes later than CHECK_S, and not all at once."""
        while True:
            for held in tuple(self._held):
                await self._check(held)
                await asyncio.sleep(CHECK_S / max(1, len(self._held)))
            if not self._held:
                await asyncio.sleep(CHECK_S)

    async def _hear(self) -> None:
        async for user_id in self._services.events.hear(REVOKED):
            for held in tuple(self._held):
                if user_id is None or held.user_id.encode() == user_id:
                    await self._check(held)

    async def _check(self, held: HeldToken) -> None:
        """A store that is away lets nobody out: it is asked again."""
        if held not in self._held:
            return
        try:
            held.may(await self._services.users.authenticate(held.token))
            if held.still:
                await held.still()
        except (Unauthenticated, Forbidden) as error:
            self._end(held, error)
        except Unavailable:
            pass
        except Exception as error:  # noqa: BLE001 - logged; the others are to be looked at all the same
            report_bug(error)

    def _end(self, held: HeldToken, error: PenstockError) -> None:
        """Beside the others, who do not wait for one that is slow to go."""
        if held in self._held:
            self.drop(held)
            task = asyncio.create_task(_ended(held, error))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def check_active(principal: Principal) -> None:
    """Raises Forbidden for one who waits for their activation."""
    if principal.user.role is Role.PENDING:
        message = "Your account is waiting for an administrator to activate it."
        raise Forbidden(message)


async def _ended(held: HeldToken, error: PenstockError) -> None:
    try:
        await held.end(error)
    except Exception as failure:  # noqa: BLE001 - logged
        report_bug(failure)
