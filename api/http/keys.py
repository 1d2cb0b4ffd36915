"""What the application and a request carry."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from aiohttp import web

from api.http.disconnects import Connections
from api.http.revocation import HeldTokens
from core.models.users import Principal
from core.redis.rate_limits import Budget
from core.services import Services
from core.settings import Settings

if TYPE_CHECKING:  # the faces stand on this module
    from api.openai.orphaned_completions import OrphanedCompletions
    from api.rest.chats.response_cache import ResponseCache
    from api.socketio.handlers import SocketHandlers

SETTINGS = web.AppKey("settings", Settings)
SERVICES = web.AppKey("services", Services)
CONNECTIONS = web.AppKey("connections", Connections)
ORPHANED_COMPLETIONS: "web.AppKey[OrphanedCompletions]" = web.AppKey("orphaned_completions")
HELD_TOKENS = web.AppKey("held_tokens", HeldTokens)
RESPONSE_CACHE: "web.AppKey[ResponseCache]" = web.AppKey("response_cache")
SOCKETS: "web.AppKey[SocketHandlers]" = web.AppKey("sockets")

REQUEST_ID = web.RequestKey("request_id", str)
PRINCIPAL = web.RequestKey("principal", Principal)
STAY = web.RequestKey("stay", ExitStack)
BUDGET = web.RequestKey("budget", Budget)
GENERATION_ID = web.RequestKey("generation_id", str)
