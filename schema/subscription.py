"""What can be listened to."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import strawberry

from core.events import START
from core.models.events import Event
from schema.context import Info
from schema.generations import GenerationEvent, event_of

ANSWER = "An answer as it is made: what is there, then what comes, each event once. `after`: the id of the last event you saw."

Events = AsyncGenerator[GenerationEvent, None]


@strawberry.type(description="What can be listened to.")
class Subscription:
    """Every field needs a signed-in user."""

    @strawberry.subscription(description=ANSWER)
    async def generation(self, info: Info, id: strawberry.ID, after: str | None = None) -> Events:  # noqa: A002 - the name in the schema
        """Listen. Whether there is such a generation is found out first, so that a client gets an error and not an empty stream."""
        generations, principal = info.context.services.generations, info.context.principal
        await generations.spec(principal, id)
        return _projected(generations.listen(principal, id, after or START))


async def _projected(entries: AsyncGenerator[tuple[str, Event], None]) -> Events:
    async with aclosing(entries):
        async for entry_id, event in entries:
            yield event_of(entry_id, event)
