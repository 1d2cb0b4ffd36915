"""On whose behalf a request is made, and whether they may ask at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.cors import is_same_origin
from api.http.keys import BUDGET, HELD_TOKENS, PRINCIPAL, SERVICES
from api.http.proxies import client_address
from api.http.revocation import HeldToken, check_active
from core.errors import Forbidden, Unauthenticated
from core.models.users import Principal, Role
from core.redis.rate_limits import Budget

COOKIE = "token"
BEARER = "bearer "
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Access(Enum):
    """Who may use a route: anyone; whoever is signed in; those among them whose account is active; administrators."""

    ANYONE = 0
    SIGNED_IN = 1
    ACTIVE = 2
    ADMIN = 3


class AccessRule(NamedTuple):
    """Who may use a handler, and whether it counts against an address's rate limit where anyone may.

    ``page``: a browser that opens the address gets a page without being asked who it is. ``upload``: it counts as one, and as no other
    request of its user.
    """

    access: Access
    counted: bool
    page: bool = False
    upload: bool = False


ACCESS_RULES = web.AppKey("access_rules", dict[Handler, AccessRule])

UNCOUNTED, _ACTIVE = AccessRule(Access.ANYONE, counted=False), AccessRule(Access.ACTIVE, counted=True)


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the user behind the token, as they are in the store now, and take one place of their rate limit."""
    door = _access_rule(request)
    if door.access is Access.ANYONE or (door.page and wants_page(request)):
        if door.counted and not door.page:
            _spend(request, await request.app[SERVICES].rate_limiter.take_anonymous(client_address(request)))
        return await handler(request)
    found = request[PRINCIPAL] = await request.app[SERVICES].users.authenticate(_token(request))
    limiter = request.app[SERVICES].rate_limiter
    _spend(request, await (limiter.take_upload(found) if door.upload else limiter.take(found)))
    _check_access(found, door.access)
    return await handler(request)


@contextmanager
def end_on_revocation(request: web.Request, end: Callable[[Exception], None]) -> Iterator[None]:
    """While the block runs: ``end`` is called when the token that the request came with is no longer good for it, and told why."""
    found, access = request.get(PRINCIPAL), _access_rule(request).access
    if found is None:
        yield
        return

    def may(now: Principal) -> None:
        _check_access(now, access)

    async def let_out(reason: Exception) -> None:
        end(reason)

    with request.app[HELD_TOKENS].holding(HeldToken(token=_token(request), user_id=found.id, may=may, end=let_out)):
        yield


def wants_page(request: web.Request) -> bool:
    """Whether it is a browser that opens an address, not a program."""
    return request.method in SAFE_METHODS and "text/html" in request.headers.get("Accept", "")


def _access_rule(request: web.Request) -> AccessRule:
    match = request.match_info
    return UNCOUNTED if match.http_exception is not None else request.app[ACCESS_RULES].get(match.handler, _ACTIVE)


def _spend(request: web.Request, budget: Budget | None) -> None:
    if budget:
        request[BUDGET] = budget
        if not budget.allowed:
            raise budget.refusal()


def _check_access(found: Principal, access: Access) -> None:
    if access is Access.SIGNED_IN:
        return
    check_active(found)
    if access is Access.ADMIN and found.user.role is not Role.ADMIN:
        message = "Only administrators may do this."
        raise Forbidden(message)


def _token(request: web.Request) -> str:
    """From ``Authorization: Bearer …``, else from the cookie. Raises Unauthenticated where there is neither."""
    header = request.headers.get("Authorization")
    if header is not None and header[: len(BEARER)].lower() == BEARER:
        return header[len(BEARER) :].strip()
    cookie = request.cookies.get(COOKIE)
    if header is None and cookie and is_from_own_page(request):
        return cookie
    message = "Sign in first, and send the token as `Authorization: Bearer <token>`."
    raise Unauthenticated(message)


def find_handshake_token(request: web.Request, auth: Any) -> Any:
    """What a connection of Socket.IO brings: ``auth: {token}``, else the header, else the cookie if the page is our own."""
    given = auth.get("token") if isinstance(auth, dict) else None
    if given is not None:
        return given
    header = request.headers.get("Authorization", "")
    if header[: len(BEARER)].lower() == BEARER:
        return header[len(BEARER) :].strip()
    return request.cookies.get(COOKIE) if is_same_origin(request) else None


def is_from_own_page(request: web.Request) -> bool:
    """A browser sends cookies along from others' pages too, of other ports at least: what changes something must come from our own.

    A program, which says nothing of where it comes from, has no cookie that it was not given.
    """
    return (request.method in SAFE_METHODS and "Upgrade" not in request.headers) or is_same_origin(request)
