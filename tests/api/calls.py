"""How every route is called so that it does what it is there for. A route without a call fails the tests."""

import base64
from typing import Any

from tests.api.call import Call, Prepare, simply
from tests.api.conftest import Client
from tests.api.forms import HEADERS as FORM_HEADERS
from tests.api.forms import file_form, uploaded
from tests.api.function_calls import FUNCTION_CALLS
from tests.api.knowledge_calls import KNOWLEDGE_CALLS
from tests.api.server_fixture import PASSWORD, PIXEL, ServerFixture

MESSAGES = [{"role": "user", "content": "Hello!"}]
SIGN_UP = {"name": "John Doe", "email": "john@example.com", "password": "secure_password"}
PICTURE = "data:image/gif;base64," + base64.b64encode(PIXEL).decode()
OPERATION = "query Models { models { id name } me { name } }"


def chat(body: Any = None) -> Prepare:
    """A call for a chat of the owner's."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        return Call({"chat_id": await server.chat(owner)}, body)

    return prepare


def message(body: Any = None) -> Prepare:
    """A call for a message of a chat of the owner's."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        return Call({"chat_id": await server.chat(owner), "message_id": "m1"}, body)

    return prepare


def share(body: Any = None) -> Prepare:
    """A call for a chat that the owner shares."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        return Call({"share_id": await server.shared(owner)}, body)

    return prepare


def model(body: Any = None, *, named: bool = False) -> Prepare:
    """A call for a custom model of the owner's; ``named``: behind the ``?``."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        model_id = await server.model(owner)
        return Call(body=body, query={"id": model_id}) if named else Call({"model_id": model_id}, body)

    return prepare


def key(body: Any = None) -> Prepare:
    """A call for an API key of the owner's."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        return Call({"key_id": await server.key(owner)}, body)

    return prepare


def user(body: Any = None) -> Prepare:
    """A call for the owner's account."""

    async def prepare(_server: ServerFixture, owner: Client, _asker: Client) -> Call:
        return Call({"user_id": owner.user["id"]}, body)

    return prepare


def mine(*, mark: str = "", **query: str) -> Prepare:
    """A call for lists: the owner has a chat with that mark, and a key."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        chat_id = await server.chat(owner)
        if mark:
            await owner.post(f"/api/chats/{chat_id}/{mark}", {})
        await server.key(owner)
        return Call(query=query)

    return prepare


async def signing_up(_server: ServerFixture, _owner: Client, asker: Client) -> Call:
    return Call(body=SIGN_UP | {"email": f"{asker.user.get('id', 'john')}@example.com"})


async def adding(_server: ServerFixture, _owner: Client, asker: Client) -> Call:
    return Call(body=SIGN_UP | {"email": f"{asker.user.get('id', 'john')}@example.com", "role": "user"})


async def signing_in(_server: ServerFixture, owner: Client, _asker: Client) -> Call:
    return Call(body={"email": owner.user["email"], "password": PASSWORD})


async def picture(_server: ServerFixture, owner: Client, _asker: Client) -> Call:
    await owner.post("/api/auths/update/profile", {"profile_image_url": PICTURE})
    return Call({"user_id": owner.user["id"]})


async def making_a_model(_server: ServerFixture, _owner: Client, asker: Client) -> Call:
    parameters = {"system": "You are a helpful assistant.", "temperature": 0.7}
    return Call(body={"name": f"my-custom-model {asker.user.get('id', '')}".strip(), "base_model": "echo", "params": parameters})


async def having_a_model(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    await server.model(owner)
    return Call()


async def answered(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    return Call({"generation_id": await server.answered(owner)}, query={"after": "0-0"})


async def pull(server: ServerFixture, _owner: Client, _asker: Client) -> Call:
    return Call({"pull_id": await server.pulled()})


async def generation(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    return Call({"generation_id": await server.generation(owner)})


async def file(_server: ServerFixture, owner: Client, _asker: Client) -> Call:
    return Call({"file_id": (await uploaded(owner))["id"]})


def having_a_file(**query: str) -> Prepare:
    """A call for lists: the owner has a file."""

    async def prepare(_server: ServerFixture, owner: Client, _asker: Client) -> Call:
        await uploaded(owner)
        return Call(query=query)

    return prepare


async def uploading(_server: ServerFixture, _owner: Client, _asker: Client) -> Call:
    return Call(body=file_form(b"Hello!", "document.txt", ("metadata", None, b'{"source": "mail"}')), headers=FORM_HEADERS)


async def graphql(_server: ServerFixture, _owner: Client, _asker: Client) -> Call:
    return Call(body={"query": OPERATION}, headers={"Content-Type": "application/json"})


async def connecting(_server: ServerFixture, _owner: Client, _asker: Client) -> Call:
    return Call(query={"EIO": "4", "transport": "polling"})


async def polling(server: ServerFixture, _owner: Client, _asker: Client) -> Call:
    """A packet to a connection that has just been opened: ``40`` asks for the namespace."""
    address = f"{server.visitor.url}/socket.io/?EIO=4&transport=polling"
    async with server.visitor.session.get(address) as response:
        session = (await response.text()).split('"sid":"')[1].split('"')[0]
    return Call(body=b"40", query={"EIO": "4", "transport": "polling", "sid": session})


CALLS: dict[str, Prepare] = {
    "GET /health": simply(),
    "GET /ready": simply(),
    "POST /api/auths/signup": signing_up,
    "POST /api/auths/signin": signing_in,
    "GET /api/auths/": simply(),
    "POST /api/auths/signout": simply(),
    "GET /api/auths/signout": simply(),
    "POST /api/auths/update/password": simply({"password": PASSWORD, "new_password": "a better password"}),
    "POST /api/auths/update/profile": simply({"name": "Jane Doe", "profile_image_url": "https://example.com/jane.png"}),
    "POST /api/auths/add": adding,
    "POST /api/users/api_key": simply({"name": "My API Key"}),
    "GET /api/users/api_keys": mine(),
    "POST /api/users/api_key/{key_id}": key({"name": "Another name"}),
    "DELETE /api/users/api_key/{key_id}": key(),
    "GET /api/users/": simply(limit="2", query="example"),
    "GET /api/users/{user_id}": user(),
    "DELETE /api/users/{user_id}": user(),
    "POST /api/users/{user_id}/update": user({"name": "New Name", "profile_image_url": "https://example.com/new.png"}),
    "POST /api/users/{user_id}/role": user({"role": "admin"}),
    "GET /api/users/{user_id}/profile/image": picture,
    "GET /user.png": simply(),
    "GET /api/chats/": mine(limit="10"),
    "DELETE /api/chats/": simply(),
    "POST /api/chats/new": simply({"chat": {"title": "New Chat", "models": ["gpt-4"], "messages": []}}),
    "GET /api/chats/search": mine(text="hello"),
    "GET /api/chats/pinned": mine(mark="pin"),
    "GET /api/chats/archived": mine(mark="archive"),
    "POST /api/chats/archive/all": simply(),
    "POST /api/chats/unarchive/all": simply(),
    "GET /api/chats/all": mine(),
    "POST /api/chats/import": simply([{"chat": {"title": "From elsewhere", "messages": MESSAGES}}]),
    "GET /api/chats/share/{share_id}": share(),
    "GET /s/{share_id}": share(),
    "GET /api/chats/{chat_id}": chat(),
    "POST /api/chats/{chat_id}": chat({"chat": {"title": "Updated Title"}}),
    "DELETE /api/chats/{chat_id}": chat(),
    "POST /api/chats/{chat_id}/pin": chat({"pinned": True}),
    "GET /api/chats/{chat_id}/pinned": chat(),
    "POST /api/chats/{chat_id}/archive": chat({"archived": True}),
    "POST /api/chats/{chat_id}/clone": chat({"title": "A copy"}),
    "POST /api/chats/{share_id}/clone/shared": share({}),
    "POST /api/chats/{chat_id}/share": chat(),
    "DELETE /api/chats/{chat_id}/share": chat(),
    "POST /api/chats/{chat_id}/messages": chat({"content": "Hello!", "model": "echo"}),
    "POST /api/chats/{chat_id}/messages/{message_id}": message({"content": "Good evening!"}),
    "DELETE /api/chats/{chat_id}/messages/{message_id}": message(),
    "GET /api/generations/{generation_id}/events": answered,
    "DELETE /api/generations/{generation_id}": generation,
    "POST /api/files/": uploading,
    "GET /api/files/": having_a_file(limit="10"),
    "GET /api/files/search": having_a_file(filename="*.txt"),
    "GET /api/files/{file_id}": file,
    "DELETE /api/files/{file_id}": file,
    "GET /api/files/{file_id}/data/content": file,
    "GET /api/files/{file_id}/content": file,
    "GET /api/models/": simply(),
    "POST /api/models/create": making_a_model,
    "GET /api/models/custom": having_a_model,
    "GET /api/models/model": model(named=True),
    "POST /api/models/model/update": model({"name": "Another name"}, named=True),
    "POST /api/models/model/toggle": model(named=True),
    "DELETE /api/models/model/delete": model(named=True),
    "POST /api/models/pull": simply({"name": "tiny/llama", "stream": False}),
    "GET /api/models/pulls": simply(),
    "GET /api/models/pull/{pull_id}": pull,
    "GET /api/models/pull/{pull_id}/events": pull,
    "DELETE /api/models/pull/{pull_id}": pull,
    "GET /api/models/{model_id:.+}": model(),
    "POST /api/models/{model_id:.+}": model({"name": "Another name"}),
    "DELETE /api/models/{model_id:.+}": model(),
    "GET /api/openai/v1/models/{model_id:.+}": model(),
    **KNOWLEDGE_CALLS,
    "GET /api/configs/rate_limits": simply(),
    "POST /api/configs/rate_limits": simply({"requests_per_minute": 1_000}),
    **FUNCTION_CALLS,
    "POST /api/openai/v1/chat/completions": simply({"model": "echo", "messages": MESSAGES, "stream": False}),
    "POST /api/openai/v1/embeddings": simply({"model": "embed", "input": "Hello!"}),
    "GET /openapi.json": simply(),
    "GET /": simply(),
    "GET /docs": simply(),
    "GET /redoc": simply(),
    "GET /graphql": simply(query=OPERATION),
    "POST /graphql": graphql,
    "GET /socket.io/": connecting,
    "POST /socket.io/": polling,
    "OPTIONS /socket.io/": connecting,
}


async def streaming(_server: ServerFixture, _owner: Client, _asker: Client) -> Call:
    return Call(body={"model": "echo", "messages": MESSAGES, "stream": True})


async def shared_page(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    return Call({"share_id": await server.shared(owner)}, headers=PAGE)


async def graphiql(_server: ServerFixture, _owner: Client, _asker: Client) -> Call:
    return Call(headers=PAGE)


PAGE = {"Accept": "text/html"}
MORE: dict[str, tuple[Prepare, ...]] = {
    "POST /api/openai/v1/chat/completions": (streaming,),
    "GET /s/{share_id}": (shared_page,),
    "GET /graphql": (graphiql,),
}
