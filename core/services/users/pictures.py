"""Pictures of users: addresses of them elsewhere, or images that are kept here."""

import base64
import binascii
import hashlib
from typing import NamedTuple

from core.errors import BadRequest, NotFound
from core.models.pictures import Picture
from core.services.users.fields import IMAGE_RULE, check_image_address
from core.storage.pictures import Pictures as PictureRows

MAX_DATA_URL = 1_048_576
SCHEME = "data:"
SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}


class Image(NamedTuple):
    """An image, and its media type."""

    kind: str
    data: bytes


class Pictures:
    """The service of pictures. An image in a ``data:`` URL is kept apart, and its user's ``profile_image_url`` becomes where it is read."""

    def __init__(self, pictures: PictureRows) -> None:
        self._pictures = pictures

    def check(self, user_id: str, given: str) -> tuple[str, Picture | None]:
        """What a user's ``profile_image_url`` becomes, and the image to be kept. Raises BadRequest."""
        if given.strip()[: len(SCHEME)].lower() != SCHEME:
            return check_image_address(given), None
        kind, data = _image(given.strip())
        version = hashlib.sha256(data).hexdigest()[:12]
        return f"{picture_path(user_id)}?v={version}", Picture(id=user_id, kind=kind, data=base64.b64encode(data).decode())

    async def keep(self, user_id: str, address: str, picture: Picture | None) -> None:
        """After ``check``: keep the image; one that is no longer shown is forgotten."""
        if picture:
            await self._pictures.put(picture)
        elif not address.startswith(picture_path(user_id)):
            await self._pictures.remove_user(user_id)

    async def get(self, user_id: str) -> Image:
        """A user's image. Raises NotFound."""
        picture = await self._pictures.get(user_id)
        if picture is None:
            message = "There is no picture of this user here."
            raise NotFound(message)
        return Image(picture.kind, base64.b64decode(picture.data))


def picture_path(user_id: str) -> str:
    """Where the picture of a user is read."""
    return f"/api/users/{user_id}/profile/image"


def _image(url: str) -> Image:
    """The image in a ``data:`` URL, which must be what it says. Raises BadRequest."""
    header, _, encoded = url[len(SCHEME) :].partition(",")
    kind, _, encoding = header.lower().partition(";")
    signature = SIGNATURES.get(kind)
    if signature and encoding == "base64" and len(url) <= MAX_DATA_URL:
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if data.startswith(signature):
            return Image(kind, data)
    raise BadRequest(IMAGE_RULE, param="profile_image_url")
