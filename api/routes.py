"""Every address of the product."""

from collections.abc import Iterable, Iterator

from aiohttp import web
from aiohttp.typedefs import Handler

from api import api_keys, auths, chats, completions, generations, health, models
from api.graphql import graphiql_assets, graphql
from api.principal import Access
from api.route import Route
from api.socket_io import socket_io
from core.models.completions import CompletionRequest
from core.models.users import SignIn, SignUp

ANYONE, SIGNED_IN, ACTIVE, ADMIN = Access.ANYONE, Access.SIGNED_IN, Access.ACTIVE, Access.ADMIN

COMPLETIONS = ("/api/chat/completions", "/v1/chat/completions")
SOCKET = ("/ws/socket.io/",)

ROUTES = (
    Route("GET", "/health", health.alive, ANYONE, answer=health.Alive),
    Route("GET", "/ready", health.ready, ANYONE, answer=health.Readiness),
    Route("POST", "/api/auths/signup", auths.sign_up, ANYONE, body=SignUp, answer=auths.Welcome, status=201),
    Route("POST", "/api/auths/signin", auths.sign_in, ANYONE, body=SignIn, answer=auths.Welcome),
    Route("GET", "/api/auths/", auths.current, SIGNED_IN, answer=auths.Profile, also=("/api/auths",)),
    Route("POST", "/api/users/api_key", api_keys.create, ACTIVE, body=api_keys.NewKey, answer=api_keys.MadeKey, status=201),
    Route("GET", "/api/users/api_keys", api_keys.list_, ACTIVE, answer=list[api_keys.KeyRow]),
    Route("POST", "/api/users/api_key/{key_id}", api_keys.rename, ACTIVE, body=api_keys.KeyName, answer=api_keys.KeyRow),
    Route("DELETE", "/api/users/api_key/{key_id}", api_keys.revoke, ACTIVE, answer=bool),
    Route("GET", "/api/chats/", chats.list_, ACTIVE, query=chats.ListChats, answer=list[chats.ChatRow], also=("/api/chats",)),
    Route("POST", "/api/chats/new", chats.create, ACTIVE, body=chats.Posted, answer=chats.ChatWhole, status=201),
    Route("GET", "/api/chats/{chat_id}", chats.get, ACTIVE, answer=chats.ChatWhole),
    Route("POST", "/api/chats/{chat_id}", chats.update, ACTIVE, body=chats.Posted, answer=chats.ChatWhole),
    Route("DELETE", "/api/chats/{chat_id}", chats.delete, ACTIVE, answer=bool),
    Route("POST", "/api/chats/{chat_id}/messages", chats.send, ACTIVE, body=chats.PostedMessage, answer=chats.Asked, status=201),
    Route("GET", "/api/generations/{generation_id}/events", generations.listen, ACTIVE, query=generations.Resume),
    Route("DELETE", "/api/generations/{generation_id}", generations.stop, ACTIVE, answer=generations.Stopped),
    Route(
        "GET", "/api/models/", models.list_, ACTIVE, answer=models.ModelList, also=("/api/models", "/api/openai/v1/models", "/v1/models")
    ),
    Route("POST", "/api/openai/v1/chat/completions", completions.create, ACTIVE, body=CompletionRequest, also=COMPLETIONS),
    Route("GET", "/api/openai/v1/models/{model_id:.+}", models.get, ACTIVE, answer=models.ModelRow, also=("/v1/models/{model_id:.+}",)),
    Route("GET", "/graphql", graphql, ANYONE),
    Route("POST", "/graphql", graphql, ANYONE),
    Route("GET", "/socket.io/", socket_io, ANYONE, also=SOCKET),
    Route("POST", "/socket.io/", socket_io, ANYONE, also=SOCKET),
    Route("OPTIONS", "/socket.io/", socket_io, ANYONE, also=SOCKET),
)
STREAMS = frozenset({generations.listen, socket_io, graphql})


def table() -> Iterable[web.AbstractRouteDef]:
    """The routes as aiohttp takes them. What never ends has no HEAD."""
    for route, path in addresses():
        heads = {"allow_head": route.handler not in STREAMS} if route.method == "GET" else {}
        yield web.RouteDef(route.method, path, route.handler, heads)
    yield graphiql_assets


def addresses() -> Iterator[tuple[Route, str]]:
    """Each route with each of its paths."""
    for route in ROUTES:
        for path in (route.path, *route.also):
            yield route, path


def access() -> dict[Handler, Access]:
    """Who may use each handler."""
    return {route.handler: route.access for route in ROUTES}
