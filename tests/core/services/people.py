"""Who asks."""

import uuid

from core.models.users import Principal, Role, User


def principal(role: Role = Role.USER) -> Principal:
    """Somebody new."""
    user_id = uuid.uuid4().hex
    email = f"{user_id}@example.com"
    return Principal(user=User(id=user_id, name="N", email=email, role=role, created_at=1, updated_at=1, last_active_at=1))


ME, STRANGER, ADMIN = principal(), principal(), principal(Role.ADMIN)
