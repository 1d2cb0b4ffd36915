"""What can be done."""

from enum import StrEnum

import strawberry
from strawberry.scalars import JSON

from core.models import sources
from core.models.chats import SendMessage
from core.models.users import SignIn, SignUp
from schema.chats import Chat, Message
from schema.context import Info
from schema.users import Session


@strawberry.input(description="A new chat.")
class CreateChatInput:
    """``models``: ids; the first one answers where a message names none."""

    title: str = "New Chat"
    models: list[str] = strawberry.field(default_factory=list, description="Ids of models; the first answers where a message names none.")


@strawberry.type(description="The chat as it was made.")
class CreateChatPayload:
    """Of createChat."""

    chat: Chat


@strawberry.enum(description="What can be attached to a question.")
class SourceKind(StrEnum):
    """core.models.sources.SourceKind."""

    FILE = "file"
    COLLECTION = "collection"


@strawberry.input(description="A file of one's own, or a knowledge base that one may read.")
class AttachmentInput:
    """Projection of core.models.sources.Attachment."""

    type: SourceKind
    id: strawberry.ID


@strawberry.input(description="A message that asks for an answer.")
class SendMessageInput:
    """Projection of core.models.chats.SendMessage."""

    chat_id: strawberry.ID
    content: JSON = strawberry.field(description="A text, or a list of OpenAI content parts.")
    model: str | None = strawberry.field(default=None, description="Without it the chat's first model answers, else the default one.")
    id: strawberry.ID | None = strawberry.field(
        default=None, description="An id of your own for the message. One that is sent again is answered once."
    )

    files: list[AttachmentInput] = strawberry.field(default_factory=list, description="What the answer is to stand on.")
    knowledge_ids: list[strawberry.ID] = strawberry.field(default_factory=list, description="The same: knowledge bases by their ids alone.")

    tool_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Functions that the model may call. Without it, those that the chat or the model names."
    )

    def command(self) -> SendMessage:
        """The service's command."""
        files = [sources.Attachment(type=sources.SourceKind(file.type), id=file.id) for file in self.files]
        return SendMessage(
            chat_id=self.chat_id,
            content=self.content,
            model=self.model,
            id=self.id,
            files=files,
            knowledge_ids=self.knowledge_ids,
            tool_ids=self.tool_ids,
        )


@strawberry.type(description="The stored message, and the answer that is being made: follow it with `generation(id: generationId)`.")
class SendMessagePayload:
    """Of sendMessage."""

    generation_id: strawberry.ID
    user_message: Message
    assistant_message: Message


@strawberry.type(description="The generation that was told to stop.")
class StopGenerationPayload:
    """Of stopGeneration."""

    generation_id: strawberry.ID


@strawberry.type(description="What can be done. Signing in and up need no token.")
class Mutation:
    """Each field is one call of a service."""

    @strawberry.mutation(description="A fresh token for a user.")
    async def sign_in(self, info: Info, email: str, password: str) -> Session:
        """Sign in."""
        command = SignIn(email=email, password=password)
        return Session.of(await info.context.services.users.sign_in(command, info.context.address))

    @strawberry.mutation(description="A new user. The first one becomes the administrator.")
    async def sign_up(self, info: Info, name: str, email: str, password: str) -> Session:
        """Sign up."""
        command = SignUp(name=name, email=email, password=password)
        return Session.of(await info.context.services.users.sign_up(command, info.context.address))

    @strawberry.mutation(description="Begin a chat.")
    async def create_chat(self, info: Info, input: CreateChatInput) -> CreateChatPayload:  # noqa: A002 - the name in the schema
        """Create."""
        document = {"title": input.title, "models": input.models}
        detail = await info.context.services.chats.create(info.context.principal, document)
        return CreateChatPayload(chat=Chat.of(detail.chat))

    @strawberry.mutation(description="Store a message and have it answered.")
    async def send_message(self, info: Info, input: SendMessageInput) -> SendMessagePayload:  # noqa: A002 - the name in the schema
        """Ask."""
        spec, asked, answer = await info.context.services.generations.reply(info.context.principal, input.command())
        return SendMessagePayload(
            generation_id=strawberry.ID(spec.id), user_message=Message.of(asked), assistant_message=Message.of(answer)
        )

    @strawberry.mutation(description="Stop an answer between two tokens; what arrived stays. One that has ended stays as it is.")
    async def stop_generation(self, info: Info, id: strawberry.ID) -> StopGenerationPayload:  # noqa: A002 - the argument's name in the schema
        """Stop."""
        await info.context.services.generations.stop(info.context.principal, id)
        return StopGenerationPayload(generation_id=id)
