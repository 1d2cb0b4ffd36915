"""The entrance of every operation: who asks, and whether they have not asked too often."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from graphql import OperationType
from strawberry.extensions import SchemaExtension
from structlog.contextvars import bind_contextvars

from core.errors import BadRequest, RateLimited
from core.logging import get_logger
from schema.context import Caller, Context
from schema.limits import root_fields

_log = get_logger(face="graphql")


class Entrance(SchemaExtension):
    """Gives each operation a context of its own, also on one websocket: a token loses its rights at once, not at the next connection."""

    async def on_operation(self) -> AsyncIterator[None]:
        """Authenticate, and log an operation that came over a websocket as a request of its own.

        A failure is kept for the first field that needs a user: signing in works with a stale token in a cookie.
        """
        operation, caller = self.execution_context, self._caller()
        context = operation.context = Context(services=caller.services, address=caller.address)
        if caller.lasting:
            bind_contextvars(request_id=secrets.token_hex(8))
        try:
            context.visitor = await caller.principal()
        except Exception as error:  # noqa: BLE001 - raised again inside the resolvers, where errors are told and logged
            context.refuse(error)
        began, user = time.perf_counter(), context.visitor.id if context.visitor else None
        try:
            yield
            if not self.counted:  # it was never run: what could not be read costs a place too
                with suppress(RateLimited):
                    await self._take(context, 1)
        finally:
            if caller.lasting:
                name = operation.operation_name if operation.graphql_document else None
                _log.info("operation", operation=name, user=user, ms=round((time.perf_counter() - began) * 1000, 1))

    async def on_execute(self) -> AsyncIterator[None]:
        """Take a place of the rate limit for a query or subscription, and one for each thing that a mutation does."""
        operation, context = self.execution_context, self.execution_context.context
        if operation.graphql_document:
            kind, fields = root_fields(operation.graphql_document, operation.operation_name)
            if kind is OperationType.SUBSCRIPTION and not self.caller.lasting:
                message = "Subscriptions come over a websocket, with the protocol graphql-transport-ws."
                raise BadRequest(message)
            await self._take(context, fields if kind is OperationType.MUTATION else 1)
        yield

    async def _take(self, context: Context, places: int) -> None:
        """Of the user's budget, or of the address's where there is no user."""
        self.counted = True
        caller, visitor, limits = self.caller, context.visitor, self.caller.services.rate_limiter
        budgets = await asyncio.gather(*(limits.take(visitor) if visitor else limits.take_anonymous(caller.address) for _ in range(places)))
        for budget in budgets:
            if budget:
                caller.note(budget)
                if budget.allowed:
                    continue
                if visitor is None:
                    raise budget.refusal()
                context.refuse(budget.refusal())

    def _caller(self) -> Caller:
        """Strawberry has put the caller where the context goes."""
        caller: Caller = self.execution_context.context
        self.caller, self.counted = caller, False
        return caller
