"""On whose behalf each Socket.IO connection of this process speaks."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from api.http.revocation import HeldToken, HeldTokens, check_active
from core.errors import PenstockError, RateLimited, Unauthenticated
from core.models.users import Principal
from core.services import Services

MAX_PER_USER = 100


class SocketAuthentication:
    """The connections with their tokens, which are looked after like those of all connections that last."""

    def __init__(
        self,
        services: Services,
        held_tokens: HeldTokens,
        *,
        dismiss: Callable[[str, PenstockError], Awaitable[None]],
        allowed: Callable[[str], Awaitable[None]],
    ) -> None:
        """``dismiss(sid, error)`` lets out one whose token is no longer good; ``allowed(sid)`` is told of the others."""
        self._services = services
        self._held_tokens = held_tokens
        self._dismiss = dismiss
        self._allowed = allowed
        self._held: dict[str, HeldToken] = {}

    async def admit(self, sid: str, token: Any, address: str) -> None:
        """Somebody comes; strangers are counted by their address.

        Raises Unauthenticated, Forbidden, and RateLimited, also for one connection too many.
        """
        try:
            principal = await self._authenticate(token)
        except Unauthenticated:
            budget = await self._services.rate_limiter.take_anonymous(address)
            if budget and not budget.allowed:
                raise budget.refusal() from None
            raise
        if sum(held.user_id == principal.id for held in self._held.values()) >= MAX_PER_USER:
            message = f"You have {MAX_PER_USER} connections to this server, which is the most. Close one first."
            raise RateLimited(message)
        held = self._held[sid] = HeldToken(
            token=token, user_id=principal.id, may=check_active, end=partial(self._dismiss, sid), still=partial(self._allowed, sid)
        )
        self._held_tokens.hold(held)

    def forget(self, sid: str) -> None:
        """Somebody has gone."""
        held = self._held.pop(sid, None)
        if held:
            self._held_tokens.drop(held)

    async def principal(self, sid: str) -> Principal:
        """Who they are in the store now. Raises Unauthenticated, Forbidden."""
        held = self._held.get(sid)
        return await self._authenticate(held and held.token)

    async def _authenticate(self, token: Any) -> Principal:
        if not isinstance(token, str) or not token:
            message = "Connect with a token: io(url, {auth: {token}})."
            raise Unauthenticated(message)
        principal = await self._services.users.authenticate(token)
        check_active(principal)
        return principal
