"""Users: coming in, being recognised, and going out."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from core.errors import BadRequest, Conflict, PenstockError, Unauthenticated
from core.ids import new_id
from core.models.api_keys import ApiKey
from core.models.users import Credentials, Principal, Role, Session, Sessions, SignIn, SignUp, User
from core.redis.sign_in_attempts import SignInAttempts
from core.security import API_KEY_PREFIX, Passwords, Tokens, hash_api_key, require_session
from core.services.notifications import AnnounceRevocation
from core.services.users import fields
from core.services.users.pictures import Pictures
from core.settings import Settings
from core.storage.api_keys import ApiKeys as KeyRows
from core.storage.users import Users as UserRows

ACTIVE_EVERY_S = 60


class Users:
    """The service of users."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        rows: UserRows,
        keys: KeyRows,
        pictures: Pictures,
        passwords: Passwords,
        tokens: Tokens,
        sign_in_attempts: SignInAttempts,
        settings: Settings,
        announce_revocation: AnnounceRevocation,
    ) -> None:
        """``announce_revocation`` tells of those who sign out."""
        self._rows = rows
        self._keys = keys
        self._pictures = pictures
        self._passwords = passwords
        self._tokens = tokens
        self._sign_in_attempts = sign_in_attempts
        self._announce_revocation = announce_revocation
        self._role = settings.default_user_role
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def sign_up(self, command: SignUp, address: str = "") -> Session:
        """A new user, the first one as administrator. ``address``: where the client is, as for ``sign_in``.

        Raises BadRequest that says what is wrong with the name, address, password or picture, or that the address is taken.
        """
        user = await self.add(command, self._role)
        await self._sign_in_attempts.welcome(user.email, address)
        return self._session(user, 0)

    async def add(self, command: SignUp, role: Role) -> User:
        """The same for a given role, without coming in."""
        user_id, email, name = new_id(), fields.check_email(command.email), fields.check_name(command.name)
        image, picture = self._pictures.check(user_id, command.profile_image_url)
        password_hash = await self._passwords.hash(fields.check_password(command.password))
        now = int(time.time())
        newcomer = User(
            id=user_id,
            name=name,
            email=email,
            role=role,
            profile_image_url=image,
            created_at=now,
            updated_at=now,
            last_active_at=now,
        )
        try:
            user = await self._rows.add(newcomer, Credentials(id=newcomer.id, password_hash=password_hash))
        except Conflict:
            message = "This e-mail address is already registered. Sign in, or use another one."
            raise BadRequest(message, param="email") from None
        if picture:
            await self._pictures.keep(user_id, image, picture)
        return user

    async def sign_in(self, command: SignIn, address: str = "") -> Session:
        """A fresh token. ``address``: where the client is, to slow guessing; empty where that is not known.

        Raises Unauthenticated, with one text and in the same time for an unknown address and a wrong password; RateLimited after too many.
        """
        email, password = fields.fold_email(command.email), fields.password_to_try(command.password)
        attempt = await self._sign_in_attempts.begin(email, address)
        found = await self._rows.credentials(email)
        if found is None:
            known = await self._passwords.verify_dummy(password)
        else:
            known = await self._passwords.verify(password, found[1].password_hash)
        if found is None or not known:
            message = "The e-mail address or the password is wrong."
            raise Unauthenticated(message)
        await attempt.succeed()
        return self._session(found[0], found[1].epoch)

    async def sign_out(self, principal: Principal) -> None:
        """The token that they came with is worth nothing from now on, on every process. Raises Forbidden for an API key."""
        require_session(principal)
        if principal.expires_at is not None:
            await self._rows.end_session(principal.id, principal.session, principal.expires_at)
            await self._announce_revocation(principal.id)

    async def authenticate(self, token: str) -> Principal:
        """Whose token or API key it is, as they are in the store now.

        Raises Unauthenticated for one that is not valid or was ended, or whose user is gone.
        """
        if token.startswith(API_KEY_PREFIX):
            key = await self._key(token)
            user, _ = await self._user(key.user_id)
            return Principal(user=user, session=key.id, by_key=True, expires_at=key.expires_at)
        claim = self._tokens.verify(token)
        user, sessions = await self._user(claim.user_id)
        if not sessions.has(claim.session, claim.epoch):
            message = "This session has ended: you signed out, or your password was changed. Sign in again."
            raise Unauthenticated(message)
        return Principal(user=user, session=claim.session, expires_at=claim.expires_at)

    async def _key(self, token: str) -> ApiKey:
        key, now = await self._keys.of_hash(hash_api_key(token)), int(time.time())
        if key is None:
            message = "The API key is not valid. It may have been revoked: make another one."
            raise Unauthenticated(message)
        if key.expires_at is not None and key.expires_at <= now:
            message = "The API key has expired. Make another one."
            raise Unauthenticated(message)
        if now - (key.last_used_at or 0) >= ACTIVE_EVERY_S:
            self._note(key.id, lambda: self._keys.note_use(key, now))
        return key

    async def _user(self, user_id: str) -> tuple[User, Sessions]:
        found = await self._rows.get_with_sessions(user_id)
        if found is None:
            message = "The user of this token is no longer there."
            raise Unauthenticated(message)
        now = int(time.time())
        if now - found[0].last_active_at >= ACTIVE_EVERY_S:
            self._note(user_id, lambda: self._rows.note_activity(user_id, now))
        return found

    def _session(self, user: User, epoch: int) -> Session:
        token, expires_at = self._tokens.issue(user.id, epoch)
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
