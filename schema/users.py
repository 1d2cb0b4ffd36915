"""Users, and the sessions that signing in and up give."""

from datetime import datetime
from typing import Self

import strawberry

from core.models import users as models
from schema.times import to_datetime

strawberry.enum(models.Role, description="What a user may do; a pending one may see only themself.")


@strawberry.type(description="Somebody who uses the product.")
class User:
    """Projection of core.models.users.User."""

    id: strawberry.ID
    name: str
    email: str
    role: models.Role
    profile_image_url: str
    created_at: datetime
    updated_at: datetime
    last_active_at: datetime

    @classmethod
    def of(cls, model: models.User) -> Self:
        """From the model."""
        return cls(
            id=strawberry.ID(model.id),
            name=model.name,
            email=model.email,
            role=model.role,
            profile_image_url=model.profile_image_url,
            created_at=to_datetime(model.created_at),
            updated_at=to_datetime(model.updated_at),
            last_active_at=to_datetime(model.last_active_at),
        )


@strawberry.type(description="A fresh token with its user. Send the token as `Authorization: Bearer <token>`.")
class Session:
    """Projection of core.models.users.Session."""

    token: str
    expires_at: datetime
    user: User

    @classmethod
    def of(cls, model: models.Session) -> Self:
        """From the model."""
        return cls(token=model.token, expires_at=to_datetime(model.expires_at), user=User.of(model.user))
