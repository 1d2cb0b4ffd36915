"""Every address of the product: each face's table, one after the other."""

from collections.abc import Iterable, Iterator

from aiohttp import web
from aiohttp.typedefs import Handler

from api.docs import routes as docs_routes
from api.graphql import routes as graphql_routes
from api.graphql.view import graphql
from api.http.authentication import UNCOUNTED, AccessRule
from api.http.route import Route
from api.http.static_files import serve_asset
from api.openai import routes as openai_routes
from api.rest import generations, pulls
from api.rest import routes as rest_routes
from api.socketio import routes as socketio_routes
from api.socketio.transport import socket_io

ROUTES: tuple[Route, ...] = (
    *rest_routes.ROUTES,
    *openai_routes.ROUTES,
    *docs_routes.ROUTES,
    *graphql_routes.ROUTES,
    *socketio_routes.ROUTES,
)
STREAMS = frozenset({generations.listen, pulls.listen, socket_io, graphql})


def table() -> Iterable[web.AbstractRouteDef]:
    """The routes as aiohttp takes them. What never ends has no HEAD."""
    for route, path in addresses():
        heads = {"allow_head": route.handler not in STREAMS} if route.method == "GET" else {}
        yield web.RouteDef(route.method, path, route.handler, heads)
    yield web.get("/static/{name:.+}", serve_asset)


def addresses() -> Iterator[tuple[Route, str]]:
    """Each route with each of its paths."""
    for route in ROUTES:
        for path in (route.path, *route.also):
            yield route, path


def access_rules() -> dict[Handler, AccessRule]:
    """Who may use each handler."""
    return {serve_asset: UNCOUNTED} | {route.handler: AccessRule(route.access, route.counted, route.page, route.upload) for route in ROUTES}
