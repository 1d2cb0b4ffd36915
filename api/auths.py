"""Signing up and in."""

import time
from typing import Any

from aiohttp import web

from api.bodies import answer, read
from api.keys import PRINCIPAL, SERVICES
from api.principal import COOKIE
from core.models.users import Session, SignIn, SignUp, User

DEFAULT_IMAGE = "/user.png"


async def sign_up(request: web.Request) -> web.Response:
    """``POST /api/auths/signup``."""
    return _welcome(request, await request.app[SERVICES].users.sign_up(await read(request, SignUp)), status=201)


async def sign_in(request: web.Request) -> web.Response:
    """``POST /api/auths/signin``."""
    return _welcome(request, await request.app[SERVICES].users.sign_in(await read(request, SignIn)), status=200)


async def current(request: web.Request) -> web.Response:
    """``GET /api/auths/``: the signed-in user."""
    return answer(_profile(request[PRINCIPAL].user))


def _welcome(request: web.Request, session: Session, *, status: int) -> web.Response:
    """Flat fields and a nested ``user``: there are clients of both kinds. Browsers get the token as a cookie too."""
    user = _profile(session.user)
    body = {"token": session.token, "token_type": "Bearer", "expires_at": session.expires_at, **user, "user": user}
    response = answer(body, status=status)
    age_s = session.expires_at - int(time.time())
    response.set_cookie(COOKIE, session.token, max_age=age_s, path="/", httponly=True, samesite="Lax", secure=request.secure)
    return response


def _profile(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "profile_image_url": user.profile_image_url or DEFAULT_IMAGE,
        "created_at": user.created_at,
        "last_active_at": user.last_active_at,
    }
