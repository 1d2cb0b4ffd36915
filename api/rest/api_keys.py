"""API keys over REST: how programs come in. A key is sent like a token: ``Authorization: Bearer sk-…``."""

from typing import Annotated

import msgspec
from aiohttp import web

from api.http.json import json_response, read
from api.http.keys import PRINCIPAL, SERVICES
from core.models.api_keys import ApiKey

LAST_MOMENT = 253_402_300_799  # the end of the year 9999


class NewApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """``name``: 1 to 100 characters; ``expires_at``: Unix seconds, in the future, or nothing."""

    name: str | None = None
    expires_at: Annotated[int, msgspec.Meta(ge=0, le=LAST_MOMENT)] | None = None


class ApiKeyName(msgspec.Struct, frozen=True, kw_only=True):
    """1 to 100 characters."""

    name: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"[^\s\x1c-\x1f\x85]", "maxLength": 100})]


class ApiKeySummary(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a key. Times are Unix seconds; ``last_used_at`` is right to a minute."""

    id: str
    name: str
    last_four: str
    created_at: int
    last_used_at: int | None
    expires_at: int | None

    @classmethod
    def of(cls, key: ApiKey) -> "ApiKeySummary":
        """From the model."""
        return cls(
            id=key.id,
            name=key.name,
            last_four=key.last_four,
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            expires_at=key.expires_at,
        )


class CreatedApiKey(ApiKeySummary, frozen=True, kw_only=True):
    """A new key, with the key itself: only a hash of it is kept, so it is never shown again."""

    api_key: str


async def create(request: web.Request) -> web.Response:
    """``POST /api/users/api_key``: make a key. Only with a token of signing in, not with another key."""
    wanted = await read(request, NewApiKey)
    secret, key = await request.app[SERVICES].api_keys.create(request[PRINCIPAL], wanted.name, wanted.expires_at)
    return json_response(CreatedApiKey(api_key=secret, **msgspec.structs.asdict(ApiKeySummary.of(key))), status=201)


async def list_(request: web.Request) -> web.Response:
    """``GET /api/users/api_keys``: one's own keys, oldest first."""
    return json_response([ApiKeySummary.of(key) for key in await request.app[SERVICES].api_keys.list(request[PRINCIPAL])])


async def rename(request: web.Request) -> web.Response:
    """``POST /api/users/api_key/{key_id}``: rename a key. Only with a token of signing in."""
    wanted = await read(request, ApiKeyName)
    return json_response(
        ApiKeySummary.of(await request.app[SERVICES].api_keys.rename(request[PRINCIPAL], request.match_info["key_id"], wanted.name))
    )


async def revoke(request: web.Request) -> web.Response:
    """``DELETE /api/users/api_key/{key_id}``: revoke a key. It opens nothing any more. Only with a token of signing in."""
    await request.app[SERVICES].api_keys.revoke(request[PRINCIPAL], request.match_info["key_id"])
    return json_response(True)  # noqa: FBT003 - the whole body, as clients know it
