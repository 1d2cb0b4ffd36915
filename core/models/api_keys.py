"""API keys: how programs come in."""

import msgspec


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a key after it was made. Times are Unix seconds; ``last_used_at`` is right to a minute."""

    id: str
    user_id: str
    name: str
    last_four: str
    created_at: int
    last_used_at: int | None = None
    expires_at: int | None = None


class ApiKeyCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` is the key's; ``key_hash`` the SHA-256 of the key itself, which is nowhere kept."""

    id: str
    key_hash: str
