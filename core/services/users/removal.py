"""Taking rights and accounts away, so that an administrator always remains and nothing of a deleted user does."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from core.errors import BadRequest, NotFound
from core.models.users import Role, User
from core.services.notifications import AnnounceRevocation
from core.storage.administrators import Administrators
from core.storage.users import Users as UserRows

Belongings = Callable[[str], Awaitable[object]]


class Removal:
    """Roles and deletions."""

    def __init__(
        self, rows: UserRows, administrators: Administrators, belongings: Sequence[Belongings], announce_revocation: AnnounceRevocation
    ) -> None:
        """``belongings``: take away what a user, by id, has of some kind; safe to repeat.

        ``announce_revocation`` tells of those with fewer rights.
        """
        self._rows = rows
        self._administrators = administrators
        self._belongings = belongings
        self._announce_revocation = announce_revocation

    async def change_role(self, user: User, role: Role) -> User:
        """Give a user another role. Raises BadRequest for the last administrator, NotFound where the user has gone meanwhile."""
        while not await (self._demote(user, role) if user.role is Role.ADMIN and role is not Role.ADMIN else self._change(user, role)):
            found = await self._rows.get(user.id)
            if found is None:
                message = "There is no such user. They may have been deleted."
                raise NotFound(message)
            user = found
        await self._announce_revocation(user.id)
        return msgspec.structs.replace(user, role=role)

    async def remove(self, user: User) -> None:
        """Take a user away: first their rights, so that nothing new comes, then what is theirs, then themself.

        What broke off in the middle goes on when it is asked for again. Raises BadRequest for the last administrator.
        """
        await self._disempower(user)
        while not await self._rows.remove(user.id, role=Role.PENDING):
            found = await self._rows.get(user.id)
            if found is None:
                break  # somebody else was quicker
            await self._disempower(found)  # somebody gave them rights meanwhile: perhaps they are the last administrator by now
        await self._clear(user)  # what was begun before the rights went

    async def _disempower(self, user: User) -> None:
        await self._clear(await self.change_role(user, Role.PENDING))

    async def _change(self, user: User, role: Role) -> bool:
        return await self._rows.set_role(user.id, role, was=user.role)

    async def _demote(self, user: User, role: Role) -> bool:
        entry = await self._administrators.begin_removal(user.id)
        if entry is None:
            message = "This is the last administrator. Make somebody else administrator first."
            raise BadRequest(message)
        try:
            return await self._change(user, role)
        finally:
            await self._administrators.end_removal(entry)

    async def _clear(self, user: User) -> None:
        for take_away in self._belongings:
            await take_away(user.id)
