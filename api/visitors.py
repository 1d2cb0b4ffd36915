"""On whose behalf each Socket.IO connection of this process speaks, and whether it still may."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from api.errors import bug
from core.errors import Forbidden, PenstockError, RateLimited, Unauthenticated, Unavailable
from core.models.users import Principal, Role
from core.services import Services
from core.services.limits import Limits
from core.services.rooms import REVOKED

MAX_PER_USER = 100
CHECK_S = 15.0


class Visitors:
    """The connections with their tokens. Each is looked at every CHECK_S, and at once when its user may do less than before."""

    def __init__(
        self,
        services: Services,
        limits: Limits,
        *,
        dismiss: Callable[[str, PenstockError], Awaitable[None]],
        allowed: Callable[[str], Awaitable[None]],
    ) -> None:
        """``dismiss(sid, error)`` lets out one whose token is no longer good; ``allowed(sid)`` is told of the others."""
        self._services = services
        self._limits = limits
        self._dismiss = dismiss
        self._allowed = allowed
        self._tokens: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def open(self) -> None:
        """Begin to look."""
        self._tasks = (asyncio.create_task(self._look()), asyncio.create_task(self._hear()))

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def admit(self, sid: str, token: Any, address: str) -> None:
        """Somebody comes; strangers are counted by their address.

        Raises Unauthenticated, Forbidden, and RateLimited, also for one connection too many.
        """
        try:
            principal = await self._authenticate(token)
        except Unauthenticated:
            budget = await self._limits.take_anonymous(address)
            if budget and not budget.allowed:
                raise budget.refusal() from None
            raise
        if sum(owner == principal.id for owner in self._owners.values()) >= MAX_PER_USER:
            message = f"You have {MAX_PER_USER} connections to this server, which is the most. Close one first."
            raise RateLimited(message)
        self._tokens[sid], self._owners[sid] = token, principal.id

    def forget(self, sid: str) -> None:
        """Somebody has gone."""
        self._tokens.pop(sid, None)
        self._owners.pop(sid, None)

    async def principal(self, sid: str) -> Principal:
        """Who they are in the store now. Raises Unauthenticated, Forbidden."""
        return await self._authenticate(self._tokens.get(sid))

    async def _authenticate(self, token: Any) -> Principal:
        if not isinstance(token, str) or not token:
            message = "Connect with a token: io(url, {auth: {token}})."
            raise Unauthenticated(message)
        principal = await self._services.users.authenticate(token)
        if principal.user.role is Role.PENDING:
            message = "Your account is waiting for an administrator to activate it."
            raise Forbidden(message)
        return principal

    async def _look(self) -> None:
        """At one after the other, so that nobody's turn comes later than CHECK_S, and not all at once."""
        while True:
            for sid in tuple(self._tokens):
                await self._check(sid)
                await asyncio.sleep(CHECK_S / max(1, len(self._tokens)))
            if not self._tokens:
                await asyncio.sleep(CHECK_S)

    async def _hear(self) -> None:
        async for user_id in self._services.events.hear(REVOKED):
            for sid, owner in tuple(self._owners.items()):
                if user_id is None or owner.encode() == user_id:
                    await self._check(sid)

    async def _check(self, sid: str) -> None:
        try:
            await self.principal(sid)
        except (Unauthenticated, Forbidden) as error:
            if sid in self._tokens:
                await self._dismiss(sid, error)
        except Unavailable:
            pass
        except Exception as error:  # noqa: BLE001 - logged; the others are to be looked at all the same
            bug(error)
        else:
            await self._allowed(sid)
