"""What a resolver knows: the services, and on whose behalf it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import strawberry
from strawberry.dataloader import DataLoader

from core.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from core.models.chats import Message
from core.models.users import Principal, Role
from core.redis.rate_limits import Budget
from core.services import Services

MAX_NODES = 5_000
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
BEARER = "bearer "
SIGN_IN = "Sign in first: the signIn mutation gives a token. Send it as `Authorization: Bearer <token>` (websockets: in connectionParams)."


@dataclass(kw_only=True, slots=True)
class Caller:
    """Who stands behind a request or a websocket. ``connection_params``: the payload of ``connection_init``, set by strawberry.

    ``note`` is told what is left of the caller's rate limit; ``address``: what strangers and tries to sign in are counted by;
    ``lasting``: a websocket, on which many operations come; ``admitted(principal, token)`` is told of the user who opens it.
    """

    services: Services
    token: str | None = None
    address: str = ""
    lasting: bool = False
    note: Callable[[Budget], None] = lambda _: None
    admitted: Callable[[Principal, str], None] = lambda *_: None
    connection_params: dict[str, object] | None = None

    @property
    def presented(self) -> str | None:
        """The token that counts: a websocket's first message comes before its headers."""
        return find_token(self.connection_params or {}) or self.token

    async def principal(self) -> Principal | None:
        """The user as they are in the store now; None where no token came. Raises Unauthenticated for a token that is not valid."""
        token = self.presented
        return await self.services.users.authenticate(token) if token else None


@dataclass(kw_only=True, slots=True)
class Context:
    """One operation's. ``visitor`` is None for a stranger; ``refusal``: why nothing may be done that needs a user."""

    services: Services
    address: str = ""
    visitor: Principal | None = None
    refusal: Exception = field(default_factory=lambda: Unauthenticated(SIGN_IN))
    histories: DataLoader[str, Sequence[Message]] = field(init=False)
    nodes: int = 0

    def __post_init__(self) -> None:
        """A loader lives as long as its operation: a websocket's next one must see what has changed since."""
        self.histories = DataLoader(load_fn=self._load_histories)

    @property
    def signed_in(self) -> Principal:
        """The signed-in user, who may still wait for their activation. Raises Unauthenticated, RateLimited."""
        if self.visitor is None:
            raise self.refusal
        return self.visitor

    @property
    def principal(self) -> Principal:
        """The user, active. Raises Unauthenticated, RateLimited, Forbidden."""
        if self.signed_in.user.role is Role.PENDING:
            message = "Your account is waiting for an administrator to activate it."
            raise Forbidden(message)
        return self.signed_in

    @property
    def may_introspect(self) -> bool:
        """Signed-in users may ask for the schema; strangers only where the server listens to its own machine alone."""
        return self.visitor is not None or self.services.settings.host in LOOPBACK

    def refuse(self, reason: Exception) -> None:
        """Let nothing happen that needs a user."""
        self.visitor, self.refusal = None, reason

    def spend(self, nodes: int) -> None:
        """Count list items against what one operation may fetch. Raises BadRequest beyond MAX_NODES."""
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            message = f"The operation fetches more than {MAX_NODES} list items. Ask for smaller pages, or in several requests."
            raise BadRequest(message)

    async def _load_histories(self, chat_ids: list[str]) -> list[Sequence[Message] | BaseException]:
        found = await self.services.chats.histories(self.principal, chat_ids)
        return [found.get(chat_id, NotFound("The chat has just been deleted.")) for chat_id in chat_ids]


Info = strawberry.Info[Context, None]


def find_token(params: dict[str, Any]) -> str | None:
    """The token in ``{Authorization: "Bearer …"}`` (any case) or ``{token: "…"}``."""
    lowered = {name.lower(): value for name, value in params.items()}
    header, token = lowered.get("authorization"), lowered.get("token")
    if isinstance(header, str) and header.lower().startswith(BEARER):
        return header[len(BEARER) :].strip()
    return token if isinstance(token, str) and token else None
