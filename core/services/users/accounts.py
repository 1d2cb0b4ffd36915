"""Accounts: changed by those whose they are, managed by administrators."""

import time
from typing import Literal

import msgspec

from core.errors import BadRequest, Conflict, Forbidden, NotFound
from core.models.pictures import Picture
from core.models.users import Principal, Role, SignUp, User
from core.redis.sign_in_attempts import SignInAttempts
from core.security import Passwords, require_session
from core.services.notifications import AnnounceRevocation
from core.services.users import fields
from core.services.users.pictures import Image, Pictures
from core.services.users.removal import Removal
from core.services.users.users import Users
from core.storage.records.port import Order
from core.storage.users import Users as UserRows

PAGE = 30
ATTEMPTS = 20
FIELDS = {"name": "search"}

OrderBy = Literal["created_at", "name", "email", "last_active_at", "role"]


class ListUsers(msgspec.Struct, frozen=True, kw_only=True):
    """``query``: in the name or the address; ``after``: the id of the last user before, or ``page``: of ``limit`` users, counted from 1."""

    query: str = ""
    order_by: OrderBy = "created_at"
    descending: bool = False
    limit: int | None = None
    after: str | None = None
    page: int | None = None


class UserChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be another; None stays."""

    name: str | None = None
    profile_image_url: str | None = None
    email: str | None = None
    password: str | None = None
    role: str | None = None


class Accounts:
    """The service of accounts."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        rows: UserRows,
        users: Users,
        pictures: Pictures,
        passwords: Passwords,
        sign_in_attempts: SignInAttempts,
        removal: Removal,
        announce_revocation: AnnounceRevocation,
    ) -> None:
        """``announce_revocation`` tells of those whose tokens end with their password."""
        self._rows = rows
        self._users = users
        self._pictures = pictures
        self._passwords = passwords
        self._sign_in_attempts = sign_in_attempts
        self._removal = removal
        self._announce_revocation = announce_revocation

    async def list(self, principal: Principal, command: ListUsers) -> tuple[list[User], int]:
        """Users for an administrator, and how many there are on all pages. Raises Forbidden, BadRequest for an ``after`` that is nobody."""
        _administrator(principal)
        limit, skipped = command.limit, 0
        if command.page is not None:
            limit = limit or PAGE
            skipped = (command.page - 1) * limit
        found = await self._rows.find(command.query, order=await self._order(command), limit=limit, skip=skipped)
        return found, await self._rows.count(command.query)

    async def get(self, principal: Principal, user_id: str) -> User:
        """A user; what of them is shown to whom, the face decides by ``may_manage``. Raises NotFound, Forbidden for a pending asker."""
        if user_id == principal.id:
            return principal.user
        if principal.user.role is Role.PENDING:
            message = "Your account is waiting for an administrator to activate it. Until then you see only yourself."
            raise Forbidden(message)
        return await self._there(user_id)

    async def picture(self, principal: Principal, user_id: str) -> Image:
        """The image that a user sent. Raises NotFound, Forbidden for a pending asker."""
        await self.get(principal, user_id)
        return await self._pictures.get(user_id)

    async def add(self, principal: Principal, command: SignUp, role: str | None = None) -> User:
        """A new user, made by an administrator. Raises Forbidden, BadRequest that names the field at fault."""
        _administrator(principal)
        return await self._users.add(command, Role.USER if role is None else fields.check_role(role))

    async def change_password(self, principal: Principal, old: str, new: str, address: str = "") -> None:
        """Another password for oneself; all one's tokens but the one that this came with end.

        Raises BadRequest where the old one is wrong or the new one cannot be used, RateLimited, Forbidden for an API key.
        """
        require_session(principal)
        fields.check_password(new, "new_password")
        attempt = await self._sign_in_attempts.begin(principal.user.email, address)
        found = await self._rows.credentials(principal.user.email)
        right = found and found[0].id == principal.id and await self._passwords.verify(fields.password_to_try(old), found[1].password_hash)
        if not right:
            message = "The current password is incorrect."
            raise BadRequest(message, param="password")
        await attempt.succeed()
        await self._rows.set_password(principal.id, await self._passwords.hash(new), keep=principal.session)
        await self._announce_revocation(principal.id)

    async def update(self, principal: Principal, user_id: str, changes: UserChanges) -> User:
        """Change one's own name and picture; administrators change everything of everybody. A role from others is ignored.

        Raises Forbidden, NotFound, BadRequest that names the field at fault.
        """
        role = None if changes.role is None else fields.check_role(changes.role)
        if not principal.is_admin:
            if user_id != principal.id:
                raise Forbidden(_ADMINISTRATORS)
            changes, role = _own(principal.user, changes), None
        user = await self._there(user_id)
        await self._changed(user, changes)  # what is wrong is said before anything is written
        password_hash = await self._password_hash(principal, changes.password)
        if role is not None:
            user = await self._removal.change_role(user, role)
        user = await self._change(user, changes)
        if password_hash:
            await self._rows.set_password(user_id, password_hash, keep=principal.session if user_id == principal.id else "")
            await self._announce_revocation(user_id)
        return user

    async def set_role(self, principal: Principal, user_id: str, role: str) -> User:
        """Give a user another role. Raises Forbidden, NotFound, BadRequest for a role that is none and for the last administrator."""
        _administrator(principal)
        return await self._removal.change_role(await self._there(user_id), fields.check_role(role))

    async def delete(self, principal: Principal, user_id: str) -> None:
        """Take a user away with all that is theirs. Raises Forbidden, NotFound, BadRequest for the last administrator."""
        _administrator(principal)
        await self._removal.remove(await self._there(user_id))

    async def _there(self, user_id: str) -> User:
        user = await self._rows.get(user_id)
        if user is None:
            message = "There is no such user. They may have been deleted."
            raise NotFound(message)
        return user

    async def _order(self, command: ListUsers) -> Order:
        field = FIELDS.get(command.order_by, command.order_by)
        if command.after is None:
            return Order(field, descending=command.descending)
        place = await self._rows.place(command.after, field)
        if place is None:
            message = "after must be the id of a user: the last one of the page before."
            raise BadRequest(message, param="after")
        return Order(field, descending=command.descending, after=(place, command.after))

    async def _password_hash(self, principal: Principal, password: str | None) -> str:
        """Empty where the password stays: forms send an empty one for that."""
        if not password:
            return ""
        require_session(principal)
        return await self._passwords.hash(fields.check_password(password))

    async def _change(self, user: User, changes: UserChanges) -> User:
        """Write a name, address and picture over those that are there; of two writers at once neither is lost."""
        for _ in range(ATTEMPTS):
            new, picture = await self._changed(user, changes)
            try:
                written = await self._rows.change(user, new)
            except Conflict:
                raise BadRequest(_TAKEN, param="email") from None
            if written:
                if changes.profile_image_url is not None:
                    await self._pictures.keep(user.id, new.profile_image_url, picture)
                return new
            user = await self._there(user.id)
        message = "This user is being changed by too many at once. Repeat the change."
        raise Conflict(message)

    async def _changed(self, user: User, changes: UserChanges) -> tuple[User, Picture | None]:
        """The user as they will be, and an image to be kept. Raises BadRequest that names the field at fault."""
        image, picture = user.profile_image_url, None
        if changes.profile_image_url is not None:
            image, picture = self._pictures.check(user.id, changes.profile_image_url)
        name = user.name if changes.name is None else fields.check_name(changes.name)
        email = user.email if changes.email is None else fields.check_email(changes.email)
        if email != user.email and await self._rows.credentials(email):
            raise BadRequest(_TAKEN, param="email")
        new = msgspec.structs.replace(user, name=name, email=email, profile_image_url=image, updated_at=int(time.time()))
        return new, picture


_TAKEN = "email belongs to another user already."
_ADMINISTRATORS = "Only administrators may do this."


def may_manage(principal: Principal, user: User) -> bool:
    """Whether somebody sees all of a user: themself, and administrators."""
    return principal.is_admin or principal.id == user.id


def _administrator(principal: Principal) -> None:
    if not principal.is_admin:
        raise Forbidden(_ADMINISTRATORS)


def _own(user: User, changes: UserChanges) -> UserChanges:
    """What somebody may change of themself. Raises Forbidden for more, but not for what forms send along."""
    if changes.email is not None and fields.fold_email(changes.email) != user.email:
        message = "Only administrators may change an e-mail address. Leave email out."
        raise Forbidden(message, param="email")
    if changes.password:
        message = "Change your password at /api/auths/update/password, which asks for the one so far. Leave password out here."
        raise Forbidden(message, param="password")
    return UserChanges(name=changes.name, profile_image_url=changes.profile_image_url)
