"""Signing up and in."""

import time
from typing import Literal

import msgspec
from aiohttp import web

from api.bodies import answer, read
from api.keys import PRINCIPAL, SERVICES
from api.principal import COOKIE
from core.models.users import Role, Session, SignIn, SignUp, User

DEFAULT_IMAGE = "/user.png"
TOKEN_TYPE: Literal["Bearer"] = "Bearer"  # noqa: S105 - a kind of token


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A user as they see themself, and as administrators see them. Times are Unix seconds."""

    id: str
    name: str
    email: str
    role: Role
    profile_image_url: str
    created_at: int
    last_active_at: int

    @classmethod
    def of(cls, user: User) -> "Profile":
        """From the model."""
        return cls(
            id=user.id,
            name=user.name,
            email=user.email,
            role=user.role,
            profile_image_url=user.profile_image_url or DEFAULT_IMAGE,
            created_at=user.created_at,
            last_active_at=user.last_active_at,
        )


class Welcome(Profile, frozen=True, kw_only=True):
    """A fresh token with its user, whose fields are flat *and* nested: there are clients of both kinds. ``expires_at``: Unix seconds."""

    token: str
    token_type: Literal["Bearer"]
    expires_at: int
    user: Profile


async def sign_up(request: web.Request) -> web.Response:
    """``POST /api/auths/signup``: make an account. The first one is the administrator's."""
    return _welcome(request, await request.app[SERVICES].users.sign_up(await read(request, SignUp)), status=201)


async def sign_in(request: web.Request) -> web.Response:
    """``POST /api/auths/signin``: a fresh token."""
    return _welcome(request, await request.app[SERVICES].users.sign_in(await read(request, SignIn)), status=200)


async def current(request: web.Request) -> web.Response:
    """``GET /api/auths/``: the signed-in user."""
    return answer(Profile.of(request[PRINCIPAL].user))


def _welcome(request: web.Request, session: Session, *, status: int) -> web.Response:
    """Browsers get the token as a cookie too."""
    user = Profile.of(session.user)
    body = Welcome(token=session.token, token_type=TOKEN_TYPE, expires_at=session.expires_at, user=user, **msgspec.structs.asdict(user))
    response = answer(body, status=status)
    age_s = session.expires_at - int(time.time())
    response.set_cookie(COOKIE, session.token, max_age=age_s, path="/", httponly=True, samesite="Lax", secure=request.secure)
    return response
