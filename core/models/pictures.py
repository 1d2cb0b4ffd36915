"""Pictures of users."""

import msgspec


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` is the user's; ``kind`` a media type; ``data`` the image in base 64."""

    id: str
    kind: str
    data: str
