"""Every address of the product."""

from collections.abc import Iterable
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from api import auths, chats, completions, generations, health, models
from api.graphql import graphiql_assets, graphql
from api.principal import Access
from api.socket_io import socket_io

ANYONE, SIGNED_IN, ACTIVE = Access.ANYONE, Access.SIGNED_IN, Access.ACTIVE


class Route(NamedTuple):
    """One address, its handler, and who may use it. Socket.IO and GraphQL look at the token themselves."""

    method: str
    path: str
    handler: Handler
    access: Access


ROUTES = (
    Route("GET", "/health", health.alive, ANYONE),
    Route("GET", "/ready", health.ready, ANYONE),
    Route("POST", "/api/auths/signup", auths.sign_up, ANYONE),
    Route("POST", "/api/auths/signin", auths.sign_in, ANYONE),
    Route("GET", "/api/auths/", auths.current, SIGNED_IN),
    Route("GET", "/api/auths", auths.current, SIGNED_IN),
    Route("GET", "/api/chats/", chats.list_, ACTIVE),
    Route("GET", "/api/chats", chats.list_, ACTIVE),
    Route("POST", "/api/chats/new", chats.create, ACTIVE),
    Route("GET", "/api/chats/{chat_id}", chats.get, ACTIVE),
    Route("POST", "/api/chats/{chat_id}", chats.update, ACTIVE),
    Route("DELETE", "/api/chats/{chat_id}", chats.delete, ACTIVE),
    Route("POST", "/api/chats/{chat_id}/messages", chats.send, ACTIVE),
    Route("GET", "/api/generations/{generation_id}/events", generations.listen, ACTIVE),
    Route("DELETE", "/api/generations/{generation_id}", generations.stop, ACTIVE),
    Route("GET", "/api/models/", models.list_, ACTIVE),
    Route("GET", "/api/models", models.list_, ACTIVE),
    Route("POST", "/api/openai/v1/chat/completions", completions.create, ACTIVE),
    Route("GET", "/api/openai/v1/models", models.list_, ACTIVE),
    Route("GET", "/api/openai/v1/models/{model_id:.+}", models.get, ACTIVE),
    Route("POST", "/api/chat/completions", completions.create, ACTIVE),
    Route("POST", "/v1/chat/completions", completions.create, ACTIVE),
    Route("GET", "/v1/models", models.list_, ACTIVE),
    Route("GET", "/v1/models/{model_id:.+}", models.get, ACTIVE),
    Route("GET", "/graphql", graphql, ANYONE),
    Route("POST", "/graphql", graphql, ANYONE),
    Route("GET", "/socket.io/", socket_io, ANYONE),
    Route("POST", "/socket.io/", socket_io, ANYONE),
    Route("OPTIONS", "/socket.io/", socket_io, ANYONE),
    Route("GET", "/ws/socket.io/", socket_io, ANYONE),
    Route("POST", "/ws/socket.io/", socket_io, ANYONE),
    Route("OPTIONS", "/ws/socket.io/", socket_io, ANYONE),
)
STREAMS = frozenset({generations.listen, socket_io, graphql})


def table() -> Iterable[web.AbstractRouteDef]:
    """The routes as aiohttp takes them. What never ends has no HEAD."""
    yield from (web.RouteDef(route.method, route.path, route.handler, {}) for route in ROUTES)
    yield from (web.head(route.path, route.handler) for route in ROUTES if route.method == "GET" and route.handler not in STREAMS)
    yield graphiql_assets


def access() -> dict[Handler, Access]:
    """Who may use each handler."""
    return {route.handler: route.access for route in ROUTES}
