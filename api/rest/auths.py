"""Signing up, in and out, and one's own account."""

import time
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from api.http.authentication import COOKIE
from api.http.cors import is_same_origin
from api.http.json import json_response, read
from api.http.keys import PRINCIPAL, SERVICES
from api.http.proxies import client_address
from core.errors import Forbidden
from core.models import users
from core.models.users import Role, Session, SignIn, SignUp, User, UserName
from core.services.users.accounts import UserChanges

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


class SessionResponse(Profile, frozen=True, kw_only=True):
    """A fresh token with its user, whose fields are flat *and* nested: there are clients of both kinds. ``expires_at``: Unix seconds."""

    token: str
    token_type: Literal["Bearer"]
    expires_at: int
    user: Profile


class SignOutResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The token is worth nothing any more."""

    status: bool


class NewPassword(msgspec.Struct, frozen=True, kw_only=True):
    """``password``: the one so far; ``new_password``: 8 to 1024 characters."""

    password: str
    new_password: users.NewPassword


class ProfileUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays.

    ``profile_image_url``: an http or https URL, a path, or a ``data:`` URL of a PNG, JPEG, GIF or WebP image of at most 1 MiB.
    """

    name: UserName | None = None
    profile_image_url: str | None = None


class NewUser(SignUp, frozen=True, kw_only=True):
    """Somebody whom an administrator lets in; without a ``role`` a plain user."""

    role: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(Role)})] | None = None


async def sign_up(request: web.Request) -> web.Response:
    """``POST /api/auths/signup``: make an account. The first one is the administrator's."""
    return _welcome(request, await request.app[SERVICES].users.sign_up(await read(request, SignUp), client_address(request)), status=201)


async def sign_in(request: web.Request) -> web.Response:
    """``POST /api/auths/signin``: a fresh token."""
    return _welcome(request, await request.app[SERVICES].users.sign_in(await read(request, SignIn), client_address(request)), status=200)


async def current(request: web.Request) -> web.Response:
    """``GET /api/auths/``: the signed-in user."""
    return json_response(Profile.of(request[PRINCIPAL].user))


async def leave(request: web.Request) -> web.Response:
    """``GET /api/auths/signout``: sign out, as Open WebUI's pages ask for it.

    A link on somebody else's page does not sign a browser out, nor does our own page when it loads a picture that somebody has put there.
    """
    if "Authorization" not in request.headers and not _meant(request):
        message = "Another page, or a part of this one, asks for this. Sign out where you signed in."
        raise Forbidden(message)
    return await sign_out(request)


async def sign_out(request: web.Request) -> web.Response:
    """``POST /api/auths/signout``: sign out. The token that this comes with is dead at once, on every face; the cookie is taken away."""
    await request.app[SERVICES].users.sign_out(request[PRINCIPAL])
    response = json_response(SignOutResponse(status=True))
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax", secure=request.secure)
    return response


async def update_password(request: web.Request) -> web.Response:
    """``POST /api/auths/update/password``: change one's password. One's other sessions end, this one goes on.

    Only with a token of signing in, not with an API key.
    """
    wanted, address = await read(request, NewPassword), client_address(request)
    await request.app[SERVICES].accounts.change_password(request[PRINCIPAL], wanted.password, wanted.new_password, address)
    return json_response(True)  # noqa: FBT003 - the whole body, as clients know it


async def update_profile(request: web.Request) -> web.Response:
    """``POST /api/auths/update/profile``: change one's own name and picture."""
    wanted, principal = await read(request, ProfileUpdate), request[PRINCIPAL]
    changes = UserChanges(name=wanted.name, profile_image_url=wanted.profile_image_url)
    return json_response(Profile.of(await request.app[SERVICES].accounts.update(principal, principal.id, changes)))


async def add(request: web.Request) -> web.Response:
    """``POST /api/auths/add``: make a user, as an administrator."""
    wanted = await read(request, NewUser)
    return json_response(Profile.of(await request.app[SERVICES].accounts.add(request[PRINCIPAL], wanted, wanted.role)), status=201)


def _welcome(request: web.Request, session: Session, *, status: int) -> web.Response:
    """Browsers get the token as a cookie too, but not where another site's page signs them in as somebody else."""
    user = Profile.of(session.user)
    body = SessionResponse(
        token=session.token, token_type=TOKEN_TYPE, expires_at=session.expires_at, user=user, **msgspec.structs.asdict(user)
    )
    response = json_response(body, status=status)
    if is_same_origin(request):
        age_s = session.expires_at - int(time.time())
        response.set_cookie(COOKIE, session.token, max_age=age_s, path="/", httponly=True, samesite="Lax", secure=request.secure)
    return response


def _meant(request: web.Request) -> bool:
    """Whether a script of ours or a person asks, as far as their browser says; over plain HTTP only ``Accept`` does.

    The addresses of pictures and of pages within pages are anybody's to choose.
    """
    said, wanted = request.headers, request.headers.get("Accept", "")
    picture = "image/" in wanted and "text/html" not in wanted
    return (
        is_same_origin(request)
        and said.get("Sec-Fetch-Dest", "empty") in {"empty", "document"}
        and "Sec-Purpose" not in said
        and not picture
    )
