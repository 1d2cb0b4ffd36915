"""Who uses the product."""

from enum import StrEnum
from typing import Annotated

import msgspec

# Their rules are checked, and told of in words, by core.services.users.users.
UserName = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"[^\s\x1c-\x1f\x85]", "maxLength": 200})]
EmailAddress = Annotated[str, msgspec.Meta(extra_json_schema={"format": "email", "maxLength": 254})]
NewPassword = Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 8, "maxLength": 1024})]


class Role(StrEnum):
    """What a user may do; a pending one may see only themself."""

    ADMIN = "admin"
    USER = "user"
    PENDING = "pending"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds. ``email`` is case-folded and unique."""

    id: str
    name: str
    email: str
    role: Role
    profile_image_url: str = ""
    created_at: int
    updated_at: int
    last_active_at: int


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` is the user's; ``password_hash`` is in PHC string format (argon2id); ``epoch``: how often all their tokens were ended."""

    id: str
    password_hash: str
    epoch: int = 0


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """Which of a user's tokens count: those of this epoch and the one ``kept`` from before it, but not those that were signed out.

    ``ended``: these, each with when it would have expired (Unix seconds).
    """

    epoch: int = 0
    kept: str = ""
    ended: dict[str, int] = {}

    def has(self, session: str, epoch: int) -> bool:
        """Whether a token is good still."""
        return session not in self.ended and (epoch == self.epoch or (session != "" and session == self.kept))


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The user on whose behalf something is done, as they are in the store now, not as they were when their token was made.

    ``session``: which of their tokens or keys they came with, so that one user's several clients can be told apart; ``by_key``: with an
    API key, which is for programs and may not do everything; ``expires_at``: until when (Unix seconds), where it ends at all.
    """

    user: User
    session: str = ""
    by_key: bool = False
    expires_at: int | None = None

    @property
    def id(self) -> str:
        """The user's id."""
        return self.user.id

    @property
    def client(self) -> str:
        """What tells their clients apart."""
        return self.session or self.user.id

    @property
    def is_admin(self) -> bool:
        """Whether they may manage users, models and pools."""
        return self.user.role is Role.ADMIN


class SignUp(msgspec.Struct, frozen=True, kw_only=True):
    """What a newcomer gives."""

    name: UserName
    email: EmailAddress
    password: NewPassword
    profile_image_url: str = ""


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a user gives to come in."""

    email: str
    password: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh token with its user. ``expires_at``: Unix seconds."""

    token: str
    expires_at: int
    user: User
