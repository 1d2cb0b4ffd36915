"""Passwords, tokens, API keys, and what is stored encrypted."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import jwt
import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from core.errors import Forbidden, SettingsError, Unauthenticated, Unavailable
from core.models.users import Principal
from core.settings import Settings

T = TypeVar("T")

ALGORITHM = "HS256"
SECONDS_PER_DAY = 86_400
HASHING_THREADS = 2  # argon2 takes 64 MiB each
CACHED_TOKENS = 10_000
API_KEY_PREFIX = "sk-"
API_KEY_BYTES = 36
SEALING_KEY_BYTES = 32


class Passwords:
    """Argon2id with pwdlib's parameters, on threads of its own: tens of milliseconds each, never on the event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHash((Argon2Hasher(),))
        self._threads = ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="passwords")

    async def hash(self, password: str) -> str:
        """A hash to keep, in PHC string format."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password: str, password_hash: str) -> bool:
        """Whether a password is the one that was hashed."""
        return await self._run(lambda: self._matches(password, password_hash))

    async def verify_dummy(self, password: str) -> bool:
        """False, after the time that ``verify`` takes: for an address that nobody has."""
        await self._run(lambda: self._hasher.hash(password))
        return False

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password, password_hash)
        except UnknownHashError:
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class TokenClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says: whose it is, which of theirs, and until when (Unix seconds).

    ``epoch``: how often all of the user's tokens had been ended when it was made.
    """

    user_id: str
    session: str
    expires_at: int
    epoch: int = 0


class Tokens:
    """JSON Web Tokens, HS256 and nothing else. They say who somebody is; what they may do is read from the store each time."""

    def __init__(self, settings: Settings) -> None:
        if not settings.secret_key:
            message = "There is no secret key to sign tokens with. Set PENSTOCK_SECRET_KEY, or start by `penstock`, which makes one."
            raise SettingsError(message)
        self._key = settings.secret_key
        self._life_s = settings.token_days * SECONDS_PER_DAY
        self._verified: dict[str, TokenClaims] = {}

    def issue(self, user_id: str, epoch: int = 0) -> tuple[str, int]:
        """A fresh token, and when it ends (Unix seconds)."""
        now = int(time.time())
        claims = {"id": user_id, "iat": now, "exp": now + self._life_s, "jti": secrets.token_hex(8), "epoch": epoch}
        return jwt.encode(claims, self._key, ALGORITHM), now + self._life_s

    def verify(self, token: str) -> TokenClaims:
        """What a token of ours says. Raises Unauthenticated for any other, and for one that has expired.

        A signature is checked once and remembered: checking costs as much as half of a small request.
        """
        claim = self._verified.get(token)
        if claim is None:
            claim = self._decode(token)
            if len(self._verified) >= CACHED_TOKENS:
                del self._verified[next(iter(self._verified))]
            self._verified[token] = claim
        if claim.expires_at <= time.time():
            self._verified.pop(token, None)
            raise Unauthenticated(_EXPIRED)
        return claim

    def _decode(self, token: str) -> TokenClaims:
        try:
            claims: dict[str, Any] = jwt.decode(token, self._key, algorithms=[ALGORITHM], options={"require": ["id", "exp"]})
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(_EXPIRED) from None
        except (jwt.InvalidTokenError, ValueError):  # ValueError: characters that are in no token
            raise Unauthenticated(_INVALID) from None
        user_id, epoch = claims["id"], claims.get("epoch", 0)
        if not isinstance(user_id, str) or not isinstance(epoch, int):
            raise Unauthenticated(_INVALID)
        return TokenClaims(user_id=user_id, session=str(claims.get("jti", "")), expires_at=int(claims["exp"]), epoch=epoch)


class Sealer:
    """Keeps what must be read again, but by nobody who has only the store: Fernet (AES-128-CBC and HMAC-SHA256).

    Each purpose has a key of its own, made from the secret key by HKDF-SHA256: what was sealed for one cannot be opened for another.
    """

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret_key.encode()

    def seal(self, text: bytes, purpose: str) -> str:
        """A text that says nothing. ``purpose``: what it is for, and whose."""
        return self._fernet(purpose).encrypt(text).decode()

    def open(self, sealed: str, purpose: str) -> bytes:
        """What was sealed. Raises Unavailable where it was sealed with another secret key, for something else, or was changed."""
        try:
            return self._fernet(purpose).decrypt(sealed.encode())
        except InvalidToken:
            message = "What is stored encrypted cannot be read: PENSTOCK_SECRET_KEY was another one. Set the secret values again."
            raise Unavailable(message) from None

    def _fernet(self, purpose: str) -> Fernet:
        derived = HKDF(algorithm=SHA256(), length=SEALING_KEY_BYTES, salt=None, info=f"penstock {purpose}".encode()).derive(self._key)
        return Fernet(base64.urlsafe_b64encode(derived))


def new_api_key() -> str:
    """A key that nobody guesses."""
    return API_KEY_PREFIX + secrets.token_urlsafe(API_KEY_BYTES)


def hash_api_key(key: str) -> str:
    """What is kept of a key. Once over SHA-256 is enough, and quick: unlike a password, 288 random bits cannot be found by trying."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def require_session(principal: Principal) -> None:
    """Refuse those who come with an API key. Raises Forbidden."""
    if principal.by_key:
        message = "An API key may not do this. Sign in, and send the token that you get."
        raise Forbidden(message)


def redact_url(url: str) -> str:
    """A server's address as everybody may be told it: without the user and the password that may stand in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


_EXPIRED = "Your session has expired. Sign in again."
_INVALID = "The token is not valid. Sign in again."
