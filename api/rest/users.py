"""Users: for administrators all of them, for everybody else themself and what they may see of others."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from api.http.json import json_response, read, read_query
from api.http.keys import PRINCIPAL, SERVICES
from api.http.static_files import file_response
from api.rest.auths import DEFAULT_IMAGE, Profile
from core.models.users import EmailAddress, Role, User, UserName
from core.services.users import accounts
from core.services.users.pictures import SIGNATURES

MAX_LIMIT = 1_000
MAX_PAGE = 100_000
TOTAL = "X-Total-Count"
IMAGES = tuple(SIGNATURES)
PICTURE_HEADERS = {
    "Cache-Control": "private, max-age=86400",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


class ListUsers(msgspec.Struct, frozen=True, kw_only=True):
    """``query``: a part of a name or address. ``limit`` many after the one whose id is ``after``, or the ``page``, counted from 1."""

    query: Annotated[str, msgspec.Meta(max_length=200)] = ""
    order_by: accounts.OrderBy = "created_at"
    direction: Literal["asc", "desc"] = "asc"
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] | None = None
    after: str | None = None
    page: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] | None = None


class PublicUser(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user as others see them; themself and administrators see the rest too. Times are Unix seconds."""

    id: str
    name: str
    profile_image_url: str
    email: str | msgspec.UnsetType = msgspec.UNSET
    role: Role | msgspec.UnsetType = msgspec.UNSET
    created_at: int | msgspec.UnsetType = msgspec.UNSET
    last_active_at: int | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, user: User) -> "PublicUser":
        """What everybody may see."""
        return cls(id=user.id, name=user.name, profile_image_url=user.profile_image_url or DEFAULT_IMAGE)


class NewRole(msgspec.Struct, frozen=True, kw_only=True):
    """``admin``, ``user`` or ``pending``."""

    role: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(Role)})]


class UserUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays. Everybody changes their own name and picture, administrators everything; an empty password stays too."""

    name: UserName | None = None
    profile_image_url: str | None = None
    email: EmailAddress | None = None
    password: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"^([\s\S]{8,1024})?$"})] | None = None
    role: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(Role)})] | None = None


async def list_(request: web.Request) -> web.Response:
    """``GET /api/users/``: all users, or a page of those that are looked for. ``X-Total-Count``: how many there are on all pages."""
    wanted = read_query(request, ListUsers)
    command = accounts.ListUsers(
        query=wanted.query,
        order_by=wanted.order_by,
        descending=wanted.direction == "desc",
        limit=wanted.limit,
        after=wanted.after,
        page=wanted.page,
    )
    users, total = await request.app[SERVICES].accounts.list(request[PRINCIPAL], command)
    return json_response([Profile.of(user) for user in users], headers={TOTAL: str(total)})


async def get(request: web.Request) -> web.Response:
    """``GET /api/users/{user_id}``: one user: whole for themself and administrators, else what everybody may see."""
    principal = request[PRINCIPAL]
    user = await request.app[SERVICES].accounts.get(principal, request.match_info["user_id"])
    return json_response(Profile.of(user) if accounts.may_manage(principal, user) else PublicUser.of(user))


async def picture(request: web.Request) -> web.Response:
    """``GET /api/users/{user_id}/profile/image``: a user's picture, where it was sent as a data: URL."""
    image = await request.app[SERVICES].accounts.picture(request[PRINCIPAL], request.match_info["user_id"])
    return web.Response(body=image.data, content_type=image.kind, headers=PICTURE_HEADERS)


async def default_picture(request: web.Request) -> web.StreamResponse:
    """``GET /user.png``: the picture of users who have none."""
    del request
    return file_response("user.png")


async def update(request: web.Request) -> web.Response:
    """``POST /api/users/{user_id}/update``: change a user. A role from somebody who is no administrator is ignored."""
    wanted = await read(request, UserUpdate)
    changes = accounts.UserChanges(**msgspec.structs.asdict(wanted))
    return json_response(
        Profile.of(await request.app[SERVICES].accounts.update(request[PRINCIPAL], request.match_info["user_id"], changes))
    )


async def set_role(request: web.Request) -> web.Response:
    """``POST /api/users/{user_id}/role``: give a user another role. The last administrator stays one."""
    wanted = await read(request, NewRole)
    user = await request.app[SERVICES].accounts.set_role(request[PRINCIPAL], request.match_info["user_id"], wanted.role)
    return json_response(Profile.of(user))


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/users/{user_id}``: delete a user with all that is theirs. Answers that are being made for them are stopped."""
    await request.app[SERVICES].accounts.delete(request[PRINCIPAL], request.match_info["user_id"])
    return json_response(True)  # noqa: FBT003 - the whole body, as clients know it
