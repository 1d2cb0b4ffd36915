"""API keys: made, shown, renamed and revoked by their owners."""

import time

import msgspec

from core.errors import BadRequest, NotFound
from core.ids import new_id
from core.models.api_keys import ApiKey, ApiKeyCredentials
from core.models.users import Principal
from core.security import hash_api_key, new_api_key, require_session
from core.services.notifications import AnnounceRevocation
from core.storage.api_keys import ApiKeys as KeyRows

DEFAULT_NAME = "API key"
MAX_NAME = 100
SHOWN_CHARACTERS = 4


class ApiKeys:
    """The service of API keys. A key that has leaked must not be able to make itself successors, so only a signed-in user changes them."""

    def __init__(self, keys: KeyRows, announce_revocation: AnnounceRevocation) -> None:
        """``announce_revocation`` tells of those whose keys are revoked."""
        self._keys = keys
        self._announce_revocation = announce_revocation

    async def list(self, principal: Principal) -> list[ApiKey]:
        """Their own, oldest first."""
        return await self._keys.of_user(principal.id)

    async def create(self, principal: Principal, name: str | None = None, expires_at: int | None = None) -> tuple[str, ApiKey]:
        """A new key, shown this once, with what is told of it later. ``expires_at``: Unix seconds. Raises BadRequest, Forbidden."""
        require_session(principal)
        now = int(time.time())
        if expires_at is not None and expires_at <= now:
            message = "expires_at must be a moment in the future, in Unix seconds. Leave it out for a key that does not expire."
            raise BadRequest(message, param="expires_at")
        secret = new_api_key()
        key = ApiKey(
            id=new_id(),
            user_id=principal.id,
            name=DEFAULT_NAME if name is None else _name(name),
            last_four=secret[-SHOWN_CHARACTERS:],
            created_at=now,
            expires_at=expires_at,
        )
        await self._keys.insert(key, ApiKeyCredentials(id=key.id, key_hash=hash_api_key(secret)))
        return secret, key

    async def rename(self, principal: Principal, key_id: str, name: str) -> ApiKey:
        """Call a key otherwise. Raises NotFound for one that is not theirs, BadRequest, Forbidden."""
        require_session(principal)
        key = await self._own(principal, key_id)
        renamed = msgspec.structs.replace(key, name=_name(name))
        if not await self._keys.rename(key_id, renamed.name):
            raise NotFound(_NO_KEY)
        return renamed

    async def revoke(self, principal: Principal, key_id: str) -> None:
        """From now on the key opens nothing, on every process. Raises NotFound for one that is not theirs, Forbidden."""
        require_session(principal)
        await self._own(principal, key_id)
        await self._keys.remove(key_id)
        await self._announce_revocation(principal.id)

    async def _own(self, principal: Principal, key_id: str) -> ApiKey:
        key = await self._keys.get(key_id)
        if key is None or key.user_id != principal.id:
            raise NotFound(_NO_KEY)
        return key


_NO_KEY = "There is no such API key. It may have been revoked, or belong to somebody else."


def _name(given: str) -> str:
    name = given.strip()
    if not 1 <= len(name) <= MAX_NAME:
        message = f"name must have 1 to {MAX_NAME} characters."
        raise BadRequest(message, param="name")
    return name
