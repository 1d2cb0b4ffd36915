"""What the application and a request carry."""

from contextlib import ExitStack

from aiohttp import web

from api.http.disconnects import Connections
from api.http.revocation import Passes
from api.openai.orphaned_completions import Abandoned
from api.rest.chats.response_cache import ReadyChats
from api.socketio.handlers import Sockets
from core.models.users import Principal
from core.redis.rate_limits import Budget, Limits
from core.services import Services
from core.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
SERVICES = web.AppKey("services", Services)
LIMITS = web.AppKey("limits", Limits)
CONNECTIONS = web.AppKey("connections", Connections)
ABANDONED = web.AppKey("abandoned", Abandoned)
PASSES = web.AppKey("passes", Passes)
READY_CHATS = web.AppKey("ready_chats", ReadyChats)
SOCKETS = web.AppKey("sockets", Sockets)

REQUEST_ID = web.RequestKey("request_id", str)
PRINCIPAL = web.RequestKey("principal", Principal)
STAY = web.RequestKey("stay", ExitStack)
BUDGET = web.RequestKey("budget", Budget)
GENERATION_ID = web.RequestKey("generation_id", str)
