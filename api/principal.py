"""On whose behalf a request is made, and whether they may ask at all."""

from enum import Enum
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from api.keys import BUDGET, LIMITS, PRINCIPAL, SERVICES
from core.errors import Forbidden, Unauthenticated
from core.models.users import Role

COOKIE = "token"
BEARER = "bearer "
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Access(Enum):
    """Who may use a route: anyone; whoever is signed in; those among them whose account is active; administrators."""

    ANYONE = 0
    SIGNED_IN = 1
    ACTIVE = 2
    ADMIN = 3


ACCESS = web.AppKey("access", dict[Handler, Access])


@web.middleware
async def principal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the user behind the token, as they are in the store now, and take one place of their rate limit."""
    access = _access(request)
    if access is Access.ANYONE:
        return await handler(request)
    found = request[PRINCIPAL] = await request.app[SERVICES].users.authenticate(_token(request))
    _may_enter(found.user.role, access)
    budget = await request.app[LIMITS].take(found)
    if budget:
        request[BUDGET] = budget
        if not budget.allowed:
            raise budget.refusal()
    return await handler(request)


def _access(request: web.Request) -> Access:
    match = request.match_info
    if match.http_exception is not None or isinstance(match.route.resource, web.StaticResource):
        return Access.ANYONE
    return request.app[ACCESS].get(match.handler, Access.ACTIVE)


def _may_enter(role: Role, access: Access) -> None:
    if access is Access.SIGNED_IN:
        return
    if role is Role.PENDING:
        message = "Your account is waiting for an administrator to activate it."
        raise Forbidden(message)
    if access is Access.ADMIN and role is not Role.ADMIN:
        message = "Only administrators may do this."
        raise Forbidden(message)


def _token(request: web.Request) -> str:
    """From ``Authorization: Bearer …``, else from the cookie. Raises Unauthenticated where there is neither."""
    header = request.headers.get("Authorization")
    if header is not None and header[: len(BEARER)].lower() == BEARER:
        return header[len(BEARER) :].strip()
    cookie = request.cookies.get(COOKIE)
    if header is None and cookie and _from_our_own_page(request):
        return cookie
    message = "Sign in first, and send the token as `Authorization: Bearer <token>`."
    raise Unauthenticated(message)


def _from_our_own_page(request: web.Request) -> bool:
    """A browser sends cookies along from pages of other ports too: what changes something must come from our own."""
    origin = request.headers.get("Origin")
    return request.method in SAFE_METHODS or origin is None or urlsplit(origin).netloc == request.host
