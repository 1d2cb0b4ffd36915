"""Who may do what: every route, asked by everybody, with the code that each gets."""

import jwt
import msgspec
import pytest

from api.routes import ROUTES
from core.models.users import Role
from core.services import Services
from core.settings import SearchEngine, Settings
from tests.api.call import Call, filled, sent
from tests.api.calls import CALLS
from tests.api.conftest import MODEL, Client
from tests.api.server_fixture import EMBED, ServerFixture
from tests.serving_models import serve_models

WHO = ("nobody", "bad token", "expired token", "pending", "stranger", "owner", "admin", "deleted user")
EXPECTED = {
    "GET /health": "200 200 200 200 200 200 200 200",
    "GET /ready": "200 200 200 200 200 200 200 200",
    "POST /api/auths/signup": "201 201 201 201 201 201 201 201",
    "POST /api/auths/signin": "200 200 200 200 200 200 200 200",
    "GET /api/auths/": "401 401 401 200 200 200 200 401",
    "POST /api/auths/signout": "401 401 401 200 200 200 200 401",
    "GET /api/auths/signout": "401 401 401 200 200 200 200 401",
    "POST /api/auths/update/password": "401 401 401 200 200 200 200 401",
    "POST /api/auths/update/profile": "401 401 401 200 200 200 200 401",
    "POST /api/auths/add": "401 401 401 403 403 403 201 401",
    "POST /api/users/api_key": "401 401 401 403 201 201 201 401",
    "GET /api/users/api_keys": "401 401 401 403 200 200 200 401",
    "POST /api/users/api_key/{key_id}": "401 401 401 403 404 200 404 401",
    "DELETE /api/users/api_key/{key_id}": "401 401 401 403 404 200 404 401",
    "GET /api/users/": "401 401 401 403 403 403 200 401",
    "GET /api/users/{user_id}": "401 401 401 403 200 200 200 401",
    "DELETE /api/users/{user_id}": "401 401 401 403 403 403 200 401",
    "POST /api/users/{user_id}/update": "401 401 401 403 403 200 200 401",
    "POST /api/users/{user_id}/role": "401 401 401 403 403 403 200 401",
    "GET /api/users/{user_id}/profile/image": "401 401 401 403 200 200 200 401",
    "GET /user.png": "200 200 200 200 200 200 200 200",
    "GET /api/chats/": "401 401 401 403 200 200 200 401",
    "DELETE /api/chats/": "401 401 401 403 200 200 200 401",
    "POST /api/chats/new": "401 401 401 403 201 201 201 401",
    "GET /api/chats/search": "401 401 401 403 200 200 200 401",
    "GET /api/chats/pinned": "401 401 401 403 200 200 200 401",
    "GET /api/chats/archived": "401 401 401 403 200 200 200 401",
    "POST /api/chats/archive/all": "401 401 401 403 200 200 200 401",
    "POST /api/chats/unarchive/all": "401 401 401 403 200 200 200 401",
    "GET /api/chats/all": "401 401 401 403 200 200 200 401",
    "POST /api/chats/import": "401 401 401 403 201 201 201 401",
    "GET /api/chats/share/{share_id}": "401 401 401 403 200 200 200 401",
    "GET /s/{share_id}": "401 401 401 403 200 200 200 401",
    "GET /api/chats/{chat_id}": "401 401 401 403 404 200 404 401",
    "POST /api/chats/{chat_id}": "401 401 401 403 404 200 404 401",
    "DELETE /api/chats/{chat_id}": "401 401 401 403 404 200 404 401",
    "POST /api/chats/{chat_id}/pin": "401 401 401 403 404 200 404 401",
    "GET /api/chats/{chat_id}/pinned": "401 401 401 403 404 200 404 401",
    "POST /api/chats/{chat_id}/archive": "401 401 401 403 404 200 404 401",
    "POST /api/chats/{chat_id}/clone": "401 401 401 403 404 201 404 401",
    "POST /api/chats/{share_id}/clone/shared": "401 401 401 403 201 201 201 401",
    "POST /api/chats/{chat_id}/share": "401 401 401 403 404 200 404 401",
    "DELETE /api/chats/{chat_id}/share": "401 401 401 403 404 200 404 401",
    "POST /api/chats/{chat_id}/messages": "401 401 401 403 404 201 404 401",
    "POST /api/chats/{chat_id}/messages/{message_id}": "401 401 401 403 404 200 404 401",
    "DELETE /api/chats/{chat_id}/messages/{message_id}": "401 401 401 403 404 200 404 401",
    "GET /api/generations/{generation_id}/events": "401 401 401 403 404 200 404 401",
    "DELETE /api/generations/{generation_id}": "401 401 401 403 404 200 404 401",
    "POST /api/files/": "401 401 401 403 201 201 201 401",
    "GET /api/files/": "401 401 401 403 200 200 200 401",
    "GET /api/files/search": "401 401 401 403 200 200 200 401",
    "GET /api/files/{file_id}": "401 401 401 403 404 200 200 401",
    "GET /api/files/{file_id}/data/content": "401 401 401 403 404 200 200 401",
    "DELETE /api/files/{file_id}": "401 401 401 403 404 200 200 401",
    "GET /api/files/{file_id}/content": "401 401 401 403 404 200 200 401",
    "GET /api/knowledge/": "401 401 401 403 200 200 200 401",
    "GET /api/knowledge/list": "401 401 401 403 200 200 200 401",
    "POST /api/knowledge/create": "401 401 401 403 201 201 201 401",
    "GET /api/knowledge/{knowledge_id}": "401 401 401 403 404 200 200 401",
    "DELETE /api/knowledge/{knowledge_id}": "401 401 401 403 404 200 200 401",
    "POST /api/knowledge/{knowledge_id}/update": "401 401 401 403 404 200 200 401",
    "POST /api/knowledge/{knowledge_id}/file/add": "401 401 401 403 404 200 200 401",
    "POST /api/knowledge/{knowledge_id}/files/batch/add": "401 401 401 403 404 200 200 401",
    "POST /api/knowledge/{knowledge_id}/file/remove": "401 401 401 403 404 200 200 401",
    "GET /api/knowledge/{knowledge_id}/files": "401 401 401 403 404 200 200 401",
    "POST /api/knowledge/{knowledge_id}/ingest": "401 401 401 403 404 201 201 401",
    "POST /api/knowledge/{knowledge_id}/reset": "401 401 401 403 404 200 200 401",
    "POST /api/knowledge/{knowledge_id}/retry": "401 401 401 403 404 200 200 401",
    "POST /api/knowledge/{knowledge_id}/reindex": "401 401 401 403 404 200 200 401",
    "GET /api/jobs/": "401 401 401 403 200 200 200 401",
    "GET /api/jobs/{job_id}": "401 401 401 403 404 200 200 401",
    "GET /api/jobs/{job_id}/events": "401 401 401 403 404 200 200 401",
    "POST /api/jobs/{job_id}/cancel": "401 401 401 403 404 200 200 401",
    "POST /api/jobs/{job_id}/retry": "401 401 401 403 404 201 201 401",
    "GET /api/models/": "401 401 401 403 200 200 200 401",
    "POST /api/models/create": "401 401 401 403 201 201 201 401",
    "GET /api/models/custom": "401 401 401 403 200 200 200 401",
    "GET /api/models/model": "401 401 401 403 200 200 200 401",
    "POST /api/models/model/update": "401 401 401 403 403 200 200 401",
    "POST /api/models/model/toggle": "401 401 401 403 403 200 200 401",
    "DELETE /api/models/model/delete": "401 401 401 403 403 200 200 401",
    "POST /api/models/pull": "401 401 401 403 403 403 200 401",
    "GET /api/models/pulls": "401 401 401 403 403 403 200 401",
    "GET /api/models/pull/{pull_id}": "401 401 401 403 403 403 200 401",
    "GET /api/models/pull/{pull_id}/events": "401 401 401 403 403 403 200 401",
    "DELETE /api/models/pull/{pull_id}": "401 401 401 403 403 403 200 401",
    "GET /api/models/{model_id:.+}": "401 401 401 403 200 200 200 401",
    "POST /api/models/{model_id:.+}": "401 401 401 403 403 200 200 401",
    "DELETE /api/models/{model_id:.+}": "401 401 401 403 403 200 200 401",
    "GET /api/openai/v1/models/{model_id:.+}": "401 401 401 403 200 200 200 401",
    "POST /api/retrieval/query": "401 401 401 403 403 200 200 401",
    "POST /api/retrieval/process": "401 401 401 403 404 200 200 401",
    "POST /api/retrieval/web": "401 401 401 403 200 200 200 401",
    "GET /api/configs/rate_limits": "401 401 401 403 403 403 200 401",
    "POST /api/configs/rate_limits": "401 401 401 403 403 403 200 401",
    "GET /api/configs/functions": "401 401 401 403 403 403 200 401",
    "POST /api/configs/functions": "401 401 401 403 403 403 200 401",
    "GET /api/functions/": "401 401 401 403 200 200 200 401",
    "POST /api/functions/create": "401 401 401 403 403 201 201 401",
    "POST /api/functions/update": "401 401 401 403 404 200 200 401",
    "GET /api/functions/{function_id}": "401 401 401 403 404 200 200 401",
    "DELETE /api/functions/{function_id}": "401 401 401 403 404 200 200 401",
    "GET /api/functions/{function_id}/versions": "401 401 401 403 404 200 200 401",
    "POST /api/functions/{function_id}/toggle": "401 401 401 403 404 200 200 401",
    "POST /api/functions/{function_id}/toggle/global": "401 401 401 403 403 403 200 401",
    "POST /api/functions/{function_id}/test": "401 401 401 403 404 200 200 401",
    "GET /api/functions/{function_id}/valves": "401 401 401 403 404 200 200 401",
    "POST /api/functions/{function_id}/valves": "401 401 401 403 404 200 200 401",
    "GET /api/functions/{function_id}/valves/user": "401 401 401 403 404 200 200 401",
    "POST /api/functions/{function_id}/valves/user": "401 401 401 403 404 200 200 401",
    "POST /api/openai/v1/chat/completions": "401 401 401 403 200 200 200 401",
    "POST /api/openai/v1/embeddings": "401 401 401 403 200 200 200 401",
    "GET /openapi.json": "200 200 200 200 200 200 200 200",
    "GET /": "307 307 307 307 307 307 307 307",
    "GET /docs": "200 200 200 200 200 200 200 200",
    "GET /redoc": "200 200 200 200 200 200 200 200",
    "GET /graphql": "200 200 200 200 200 200 200 200",
    "POST /graphql": "200 200 200 200 200 200 200 200",
    "GET /socket.io/": "200 200 200 200 200 200 200 200",
    "POST /socket.io/": "200 200 200 200 200 200 200 200",
    "OPTIONS /socket.io/": "200 200 200 200 200 200 200 200",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings,
        rate_limit_per_minute=0,
        anonymous_rate_limit_per_minute=0,
        embedding_model=EMBED.id,
        web_search=SearchEngine.SEARXNG,
        web_search_url="http://searxng",
    )


@pytest.fixture
async def server(services: Services, visitor: Client) -> ServerFixture:
    await serve_models(services, MODEL, EMBED)
    return await ServerFixture.of(services, visitor)


async def asker(server: ServerFixture, who: str, owner: Client) -> Client:
    """One of those who ask."""
    if who == "pending":
        return await server.person(Role.PENDING)
    if who == "stranger":
        return await server.person(Role.USER)
    if who == "admin":
        return await server.person(Role.ADMIN)
    if who == "deleted user":
        return await server.gone()
    others = {
        "nobody": server.visitor,
        "bad token": server.with_token(owner, owner.token[:-4] + "AAAA"),
        "expired token": server.expired(owner),
        "owner": owner,
    }
    return others[who]


def test_every_route_has_a_row_and_a_call() -> None:
    names = [f"{route.method} {route.path}" for route in ROUTES]
    assert names == list(EXPECTED)
    assert set(names) == set(CALLS)


async def test_everybody_gets_the_code_that_is_written_down(server: ServerFixture) -> None:
    wrong = []
    for route in ROUTES:
        name = f"{route.method} {route.path}"
        for who, code in zip(WHO, EXPECTED.get(name, "").split(), strict=True):
            for pattern in (route.path, *route.also):
                owner = await server.person(Role.USER, "Owner")
                client = await asker(server, who, owner)
                call = await CALLS[name](server, owner, client)
                await server.forget_jobs()
                async with server.worker():
                    got = await status(client, route.method, filled(pattern, call.variables), call)
                if got != int(code):
                    wrong.append(f"{route.method} {pattern}: {who} got {got}, not {code}")
    assert wrong == []


async def test_a_token_of_another_key_or_algorithm_opens_nothing(server: ServerFixture) -> None:
    owner = await server.person(Role.ADMIN)
    claims = {"id": owner.user["id"], "exp": 2_000_000_000, "jti": "x", "epoch": 0}
    for token in (jwt.encode(claims, "another key" * 4, "HS256"), jwt.encode(claims, "", "none")):
        assert (await server.with_token(owner, token).get("/api/auths/")).status == 401


async def status(client: Client, method: str, path: str, call: Call) -> int:
    headers = {**client.headers, **call.headers}
    async with client.session.request(
        method, client.url + path, data=sent(call.body), params=call.query, headers=headers, allow_redirects=False
    ) as response:
        await response.read()
        return response.status
