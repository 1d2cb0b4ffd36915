"""Users: coming in, and being recognised."""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable

from core.errors import BadRequest, Conflict, PenstockError, Unauthenticated
from core.models.keys import ApiKey
from core.models.users import Credentials, Principal, Session, SignIn, SignUp, User
from core.security import API_KEY_PREFIX, Passwords, Tokens, api_key_hash
from core.settings import Settings
from core.storage.keys import Keys as KeyRows
from core.storage.users import Users as UserRows

MIN_PASSWORD, MAX_PASSWORD = 8, 1024
MAX_NAME = 200
MAX_EMAIL = 254
ACTIVE_EVERY_S = 60

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@(localhost|[^@\s.\x00-\x1f\x7f]+(\.[^@\s.\x00-\x1f\x7f]+)+)")


class Users:
    """The service of users."""

    def __init__(self, users: UserRows, keys: KeyRows, passwords: Passwords, tokens: Tokens, settings: Settings) -> None:
        self._users = users
        self._keys = keys
        self._passwords = passwords
        self._tokens = tokens
        self._role = settings.default_user_role
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def sign_up(self, command: SignUp) -> Session:
        """A new user, the first one as administrator.

        Raises BadRequest that says what is wrong with the name, address or password, or that the address is taken.
        """
        email, name = _email(command.email), command.name.strip()
        if not name or len(name) > MAX_NAME:
            message = f"name must have 1 to {MAX_NAME} characters."
            raise BadRequest(message, param="name")
        password_hash = await self._passwords.hash(_password(command.password))
        now = int(time.time())
        newcomer = User(
            id=str(uuid.uuid4()),
            name=name,
            email=email,
            role=self._role,
            profile_image_url=command.profile_image_url,
            created_at=now,
            updated_at=now,
            last_active_at=now,
        )
        try:
            user = await self._users.add(newcomer, Credentials(id=newcomer.id, password_hash=password_hash))
        except Conflict:
            message = "This e-mail address is already registered. Sign in, or use another one."
            raise BadRequest(message, param="email") from None
        return self._session(user)

    async def sign_in(self, command: SignIn) -> Session:
        """A fresh token. Raises Unauthenticated, with one text and in the same time for an unknown address and a wrong password."""
        found = await self._users.credentials(command.email.strip().casefold())
        password = command.password if len(command.password) <= MAX_PASSWORD and _is_text(command.password) else ""
        if found is None:
            known = await self._passwords.verify_dummy(password)
        else:
            known = await self._passwords.verify(password, found[1].password_hash)
        if found is None or not known:
            message = "The e-mail address or the password is wrong."
            raise Unauthenticated(message)
        return self._session(found[0])

    async def authenticate(self, token: str) -> Principal:
        """Whose token or API key it is, as they are in the store now.

        Raises Unauthenticated for one that is not valid, or whose user is gone.
        """
        if token.startswith(API_KEY_PREFIX):
            key = await self._key(token)
            return Principal(user=await self._user(key.user_id), session=key.id, by_key=True)
        claim = self._tokens.verify(token)
        return Principal(user=await self._user(claim.user_id), session=claim.session)

    async def _key(self, token: str) -> ApiKey:
        key, now = await self._keys.of_hash(api_key_hash(token)), int(time.time())
        if key is None:
            message = "The API key is not valid. It may have been revoked: make another one."
            raise Unauthenticated(message)
        if key.expires_at is not None and key.expires_at <= now:
            message = "The API key has expired. Make another one."
            raise Unauthenticated(message)
        if now - (key.last_used_at or 0) >= ACTIVE_EVERY_S:
            self._note(key.id, lambda: self._keys.used(key, now))
        return key

    async def _user(self, user_id: str) -> User:
        user = await self._users.get(user_id)
        if user is None:
            message = "The user of this token is no longer there."
            raise Unauthenticated(message)
        now = int(time.time())
        if now - user.last_active_at >= ACTIVE_EVERY_S:
            self._note(user.id, lambda: self._users.seen(user.id, now))
        return user

    def _session(self, user: User) -> Session:
        token, expires_at = self._tokens.issue(user.id)
        return Session(token=token, expires_at=expires_at, user=user)

    def _note(self, what: str, write: Callable[[], Awaitable[None]]) -> None:
        """Beside the request, which does not wait for it; a store that fails will fail where it matters."""
        if what not in self._noting:
            self._noting[what] = asyncio.create_task(self._written(what, write))

    async def _written(self, what: str, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except PenstockError:
            pass
        finally:
            self._noting.pop(what, None)


def _email(given: str) -> str:
    email = given.strip().casefold()
    if len(email) > MAX_EMAIL or not _EMAIL.fullmatch(email) or not _is_text(email):
        message = "email must be an address such as name@example.com."
        raise BadRequest(message, param="email")
    return email


def _password(given: str) -> str:
    if not MIN_PASSWORD <= len(given) <= MAX_PASSWORD:
        message = f"password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {len(given)}."
        raise BadRequest(message, param="password")
    if not _is_text(given):
        message = "password holds something that is no character."
        raise BadRequest(message, param="password")
    return given


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
