"""What the fields of a user may hold. Each check gives the value as it is kept, or raises BadRequest that names the field."""

import re
import unicodedata
from urllib.parse import urlsplit

from core.errors import BadRequest
from core.models.users import Role

MIN_PASSWORD, MAX_PASSWORD = 8, 1024
MAX_NAME = 200
MAX_EMAIL = 254
MAX_TRIED = 4 * MAX_EMAIL  # composing makes a text shorter, and nobody's by far is so long
MAX_URL = 2048

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@(localhost|[^@\s.\x00-\x1f\x7f]+(\.[^@\s.\x00-\x1f\x7f]+)+)")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # controls, and those that turn the writing round
_PATH = re.compile(r"/(?![/\\])[^\s\x00-\x1f\x7f\\]*")
_NOT_IN_URLS = re.compile(r"[\s\x00-\x1f\x7f\\]")


def check_email(given: str) -> str:
    """Folded. What nobody sees, such as a space of no width, would let one address look like another's."""
    folded = fold_email(given)
    if len(folded) > MAX_EMAIL or not _EMAIL.fullmatch(folded) or not folded.isprintable():
        message = "email must be an address such as name@example.com."
        raise BadRequest(message, param="email")
    return folded


def fold_email(given: str) -> str:
    """As it is looked for, whether it is an address or not: without cases and composed, however it was typed."""
    if len(given) > MAX_TRIED:
        return ""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", given.strip()).casefold())


def check_name(given: str) -> str:
    """Without space around it. Others see it, so it must look like what it is."""
    stripped = given.strip()
    if not 1 <= len(stripped) <= MAX_NAME or not is_text(stripped):
        message = f"name must have 1 to {MAX_NAME} characters."
        raise BadRequest(message, param="name")
    if _UNSEEN.search(stripped) or not any(character.isprintable() and character != " " for character in stripped):
        message = "name holds line ends or characters that cannot be seen, or nothing else. Leave them out."
        raise BadRequest(message, param="name")
    return stripped


def check_password(given: str, param: str = "password") -> str:
    """As it is."""
    if not MIN_PASSWORD <= len(given) <= MAX_PASSWORD:
        message = f"{param} must have {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {len(given)}."
        raise BadRequest(message, param=param)
    if not is_text(given):
        message = f"{param} holds something that is no character."
        raise BadRequest(message, param=param)
    return given


def password_to_try(given: str) -> str:
    """What to compare with a hash: nothing in place of what cannot be anybody's."""
    return given if len(given) <= MAX_PASSWORD and is_text(given) else ""


def check_role(given: str) -> Role:
    """One of ours."""
    try:
        return Role(given)
    except ValueError:
        message = f"role must be one of {', '.join(Role)}."
        raise BadRequest(message, param="role") from None


def check_image_address(given: str) -> str:
    """Nothing, a path of this server, or an address of another. What a browser might run is neither."""
    address = given.strip()
    if not address or (len(address) <= MAX_URL and is_text(address) and (_PATH.fullmatch(address) or _is_web(address))):
        return address
    raise BadRequest(IMAGE_RULE, param="profile_image_url")


IMAGE_RULE = (
    "profile_image_url must be an http or https URL, a path such as /user.png, or a data: URL of a PNG, JPEG, GIF or WebP image "
    "of at most 1 MiB."
)


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not _NOT_IN_URLS.search(address)
    except ValueError:
        return False
