"""What a resolver knows: the services, and on whose behalf it runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.extensions import SchemaExtension

from core.errors import BadRequest, Unauthenticated
from core.models.chats import Message
from core.models.users import Principal
from core.services import Services

MAX_NODES = 5_000
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
BEARER = "bearer "
SIGN_IN = "Sign in first: the signIn mutation gives a token. Send it as `Authorization: Bearer <token>` (websockets: in connectionParams)."


@dataclass(kw_only=True, slots=True)
class Caller:
    """Who stands behind a request or a websocket. ``connection_params``: the payload of ``connection_init``, set by strawberry."""

    services: Services
    token: str | None = None
    connection_params: dict[str, object] | None = None

    async def principal(self) -> Principal | None:
        """The user as they are in the store now; None where no token came. Raises Unauthenticated for a token that is not valid."""
        token = given_token(self.connection_params or {}) or self.token
        return await self.services.users.authenticate(token) if token else None


@dataclass(kw_only=True, slots=True)
class Context:
    """One operation's. ``visitor`` is None for a stranger; ``refusal`` says why there is no principal."""

    services: Services
    visitor: Principal | None
    refusal: Exception
    histories: DataLoader[str, Sequence[Message]] = field(init=False)
    nodes: int = 0

    def __post_init__(self) -> None:
        """A loader lives as long as its operation: a websocket's next one must see what has changed since."""
        self.histories = DataLoader(load_fn=self._load_histories)

    @property
    def principal(self) -> Principal:
        """The signed-in user. Raises Unauthenticated for a stranger."""
        if self.visitor is None:
            raise self.refusal
        return self.visitor

    @property
    def may_introspect(self) -> bool:
        """Signed-in users may ask for the schema; strangers only where the server listens to its own machine alone."""
        return self.visitor is not None or self.services.settings.host in LOOPBACK

    def spend(self, nodes: int) -> None:
        """Count list items against what one operation may fetch. Raises BadRequest beyond MAX_NODES."""
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            message = f"The operation fetches more than {MAX_NODES} list items. Ask for smaller pages, or in several requests."
            raise BadRequest(message)

    async def _load_histories(self, chat_ids: list[str]) -> list[Sequence[Message]]:
        details = await asyncio.gather(*(self.services.chats.get(self.principal, chat_id) for chat_id in chat_ids))
        return [detail.messages for detail in details]


Info = strawberry.Info[Context, None]


class Entrance(SchemaExtension):
    """Gives each operation a context of its own, also on one websocket: a token loses its rights at once, not at the next connection."""

    async def on_operation(self) -> AsyncIterator[None]:  # type: ignore[override]
        """Authenticate. A failure is kept for the first field that needs a user: signing in works with a stale token in a cookie."""
        caller: Caller = self.execution_context.context
        visitor, refusal = None, Exception()
        try:
            visitor, refusal = await caller.principal(), Unauthenticated(SIGN_IN)
        except Exception as error:  # noqa: BLE001 - raised again by Context.principal, inside the resolvers, where errors are told and logged
            refusal = error
        self.execution_context.context = Context(services=caller.services, visitor=visitor, refusal=refusal)
        yield


def given_token(params: dict[str, Any]) -> str | None:
    """The token in ``{Authorization: "Bearer …"}`` (any case) or ``{token: "…"}``."""
    lowered = {name.lower(): value for name, value in params.items()}
    header, token = lowered.get("authorization"), lowered.get("token")
    if isinstance(header, str) and header.lower().startswith(BEARER):
        return header[len(BEARER) :].strip()
    return token if isinstance(token, str) and token else None
