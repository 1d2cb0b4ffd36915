"""What can be asked."""

import strawberry

from core.models import chats as models
from schema.chats import Chat
from schema.context import Info
from schema.models import Model
from schema.pages import After, Connection, First, Window, size
from schema.users import User


@strawberry.type(description="What can be asked.")
class Query:
    """Every field needs a signed-in user, and all but ``me`` an active one."""

    @strawberry.field(description="The signed-in user.")
    def me(self, info: Info) -> User:
        """Me."""
        return User.of(info.context.signed_in.user)

    @strawberry.field(description="The models that can be asked.")
    async def models(self, info: Info) -> list[Model]:
        """Models."""
        return [Model.of(model) for model in await info.context.services.models.list(info.context.principal)]

    @strawberry.field(description="Your chats, newest change first.")
    async def chats(self, info: Info, first: First = None, after: After = None) -> Connection[Chat]:
        """One page; one more than it is fetched, to know whether there is a next one."""
        limit = size(first, "first")
        found = await info.context.services.chats.list(info.context.principal, limit=limit + 1, after=after)
        page = Window(found[:limit], more_before=after is not None, more_after=len(found) > limit)
        return Connection[Chat].of(info, page, Chat.of, _chat_cursor)

    @strawberry.field(description="One of your chats. Somebody else's is `not_found`.")
    async def chat(self, info: Info, id: strawberry.ID) -> Chat | None:  # noqa: A002 - the argument's name in the schema
        """A chat."""
        return Chat.of(await info.context.services.chats.readable(info.context.principal, id))


def _chat_cursor(chat: models.Chat) -> str:
    return chat.id
