"""What administrators decide while the product runs."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from core.models.users import Role

PerMinute = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a minute, null for no limit: of each user over all their tokens and keys; of each address, those without a user.

    ``uploads_per_minute``: files that a user sends, which are none of their other requests.
    """

    requests_per_minute: PerMinute | None
    uploads_per_minute: PerMinute | None
    admins_limited: bool
    anonymous_requests_per_minute: PerMinute | None


class RateLimitChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; the rest stays."""

    requests_per_minute: PerMinute | UnsetType | None = UNSET
    uploads_per_minute: PerMinute | UnsetType | None = UNSET
    admins_limited: bool | UnsetType = UNSET
    anonymous_requests_per_minute: PerMinute | UnsetType | None = UNSET


class FunctionRights(msgspec.Struct, frozen=True, kw_only=True):
    """Who may write functions beside administrators: all of some roles, and single users."""

    roles: tuple[Role, ...] = ()
    user_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=10_000)] = ()


class FunctionRightChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; the rest stays."""

    roles: tuple[Role, ...] | UnsetType = UNSET
    user_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=10_000)] | UnsetType = UNSET
