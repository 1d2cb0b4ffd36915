"""The web process, assembled."""

from collections.abc import AsyncIterator

from aiohttp import web

from api.docs.openapi import encoded
from api.docs.pages import DOCUMENT, Document
from api.graphql.view import close_sockets
from api.http.authentication import DOORS, handshake_token, looked_after, principal
from api.http.cors import ORIGINS, Origins, add_origin, preflight
from api.http.disconnects import Connections
from api.http.errors import errors
from api.http.headers import add_headers
from api.http.keys import ABANDONED, CONNECTIONS, LIMITS, PASSES, READY_CHATS, SERVICES, SETTINGS, SOCKETS
from api.http.request_log import log_context
from api.http.revocation import Passes
from api.openai.orphaned_completions import Abandoned
from api.rest.chats.response_cache import ReadyChats
from api.routes import ROUTES, doors, table
from api.socketio.handlers import Sockets
from core.models.configs import RateLimits
from core.redis.client import Scripts
from core.redis.rate_limits import Limits
from core.services import open_services
from core.settings import Settings

BYTES_PER_MB = 1_048_576


def create_app(settings: Settings) -> web.Application:
    """The application. Nothing is opened before it starts."""
    origins = Origins(settings.cors_origins, settings.public_url)
    middlewares = (log_context, errors, preflight, principal) if origins else (log_context, errors, principal)
    app = web.Application(middlewares=middlewares, client_max_size=settings.max_body_mb * BYTES_PER_MB)
    app[SETTINGS], app[ORIGINS] = settings, origins
    app[CONNECTIONS] = Connections(looked_after)
    app[DOORS] = doors()
    app[DOCUMENT] = Document.of(encoded(ROUTES))
    app.router.add_routes(table())
    app.cleanup_ctx.extend((services_ctx, limits_ctx, passes_ctx, abandoned_ctx, sockets_ctx))
    app.on_response_prepare.extend((add_headers, add_origin) if origins else (add_headers,))
    app.on_shutdown.extend((app[CONNECTIONS].close, close_sockets, _close_socket_io))
    return app


async def services_ctx(app: web.Application) -> AsyncIterator[None]:
    """Everything behind the faces."""
    async with open_services(app[SETTINGS]) as services:
        app[SERVICES] = services
        app[READY_CHATS] = ReadyChats(services.chats)
        yield


async def limits_ctx(app: web.Application) -> AsyncIterator[None]:
    """The rate limits, which do not wait for a Redis that is away, as administrators have set them."""
    configs = app[SERVICES].configs
    await configs.open()
    app[LIMITS] = Limits(Scripts(app[SERVICES].redis, patience_s=0), lambda: configs.get(RateLimits))
    yield
    await configs.close()


async def passes_ctx(app: web.Application) -> AsyncIterator[None]:
    """What connections that last came in with."""
    app[PASSES] = Passes(app[SERVICES])
    await app[PASSES].open()
    yield
    await app[PASSES].close()


async def abandoned_ctx(app: web.Application) -> AsyncIterator[None]:
    """Answers whose clients went away."""
    app[ABANDONED] = Abandoned(app[SERVICES])
    yield
    await app[ABANDONED].close()


async def sockets_ctx(app: web.Application) -> AsyncIterator[None]:
    """Socket.IO."""
    app[SOCKETS] = Sockets(app[SERVICES], app[LIMITS], app[PASSES], handshake_token)
    await app[SOCKETS].open()
    yield
    await app[SOCKETS].close()


async def _close_socket_io(app: web.Application) -> None:
    await app[SOCKETS].close_sockets()
