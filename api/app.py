"""The web process, assembled."""

from collections.abc import AsyncIterator

from aiohttp import web

from api.docs.openapi import encoded
from api.docs.pages import DOCUMENT, Document
from api.graphql.view import close_sockets
from api.http.authentication import ACCESS_RULES, authenticate, end_on_revocation, find_handshake_token
from api.http.cors import ORIGINS, Origins, add_cors_headers, answer_preflight
from api.http.disconnects import Connections
from api.http.errors import handle_errors
from api.http.headers import add_headers
from api.http.keys import CONNECTIONS, HELD_TOKENS, ORPHANED_COMPLETIONS, RESPONSE_CACHE, SERVICES, SETTINGS, SOCKETS
from api.http.request_log import log_request
from api.http.revocation import HeldTokens
from api.openai.orphaned_completions import OrphanedCompletions
from api.rest.chats.response_cache import ResponseCache
from api.routes import ROUTES, access_rules, table
from api.socketio.handlers import SocketHandlers
from core.services import open_services
from core.settings import Settings

BYTES_PER_MB = 1_048_576


def create_app(settings: Settings) -> web.Application:
    """The application. Nothing is opened before it starts."""
    origins = Origins(settings.cors_origins, settings.public_url)
    middlewares = (log_request, handle_errors, answer_preflight, authenticate) if origins else (log_request, handle_errors, authenticate)
    app = web.Application(middlewares=middlewares, client_max_size=settings.max_body_mb * BYTES_PER_MB)
    app[SETTINGS], app[ORIGINS] = settings, origins
    app[CONNECTIONS] = Connections(end_on_revocation)
    app[ACCESS_RULES] = access_rules()
    app[DOCUMENT] = Document.of(encoded(ROUTES))
    app.router.add_routes(table())
    app.cleanup_ctx.extend((services_ctx, configs_ctx, held_tokens_ctx, orphaned_completions_ctx, sockets_ctx))
    app.on_response_prepare.extend((add_headers, add_cors_headers) if origins else (add_headers,))
    app.on_shutdown.extend((app[CONNECTIONS].close, close_sockets, _close_socket_io))
    return app


async def services_ctx(app: web.Application) -> AsyncIterator[None]:
    """Everything behind the faces."""
    async with open_services(app[SETTINGS]) as services:
        app[SERVICES] = services
        app[RESPONSE_CACHE] = ResponseCache(services.chats)
        services.upkeep.open()
        yield
        await services.upkeep.close()


async def configs_ctx(app: web.Application) -> AsyncIterator[None]:
    """What administrators decide while this process runs."""
    await app[SERVICES].configs.open()
    yield
    await app[SERVICES].configs.close()


async def held_tokens_ctx(app: web.Application) -> AsyncIterator[None]:
    """What connections that last came in with."""
    app[HELD_TOKENS] = HeldTokens(app[SERVICES])
    await app[HELD_TOKENS].open()
    yield
    await app[HELD_TOKENS].close()


async def orphaned_completions_ctx(app: web.Application) -> AsyncIterator[None]:
    """Answers whose clients went away."""
    app[ORPHANED_COMPLETIONS] = OrphanedCompletions(app[SERVICES])
    yield
    await app[ORPHANED_COMPLETIONS].close()


async def sockets_ctx(app: web.Application) -> AsyncIterator[None]:
    """Socket.IO."""
    app[SOCKETS] = SocketHandlers(app[SERVICES], app[HELD_TOKENS], find_handshake_token)
    await app[SOCKETS].open()
    yield
    await app[SOCKETS].close()


async def _close_socket_io(app: web.Application) -> None:
    await app[SOCKETS].close_sockets()
