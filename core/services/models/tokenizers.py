"""Tokenizers of embedding models, for those who count tokens where the model itself is not: kept in Redis for as long as it is served."""

import asyncio
import hashlib
import zlib

from core.redis.client import Scripts

KEPT_S = 24 * 3_600
KNOWN = 8


class Tokenizers:
    """``tokenizer.json`` files by ids made of what they hold."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._known: dict[str, bytes] = {}

    async def keep(self, data: bytes) -> str:
        """Keep one, and give its id; to be repeated at least once a day."""
        tokenizer_id = await asyncio.to_thread(_id, data)
        if not await self._scripts.command("EXPIRE", _key(tokenizer_id), KEPT_S):
            deflated = await asyncio.to_thread(zlib.compress, data)
            await self._scripts.command("SET", _key(tokenizer_id), deflated, "EX", KEPT_S)
        return tokenizer_id

    async def read(self, tokenizer_id: str) -> bytes | None:
        """One; None where it is not there."""
        if tokenizer_id not in self._known:
            deflated: bytes | None = await self._scripts.command("GET", _key(tokenizer_id))
            if deflated is None:
                return None
            self._known[tokenizer_id] = await asyncio.to_thread(zlib.decompress, deflated)
            while len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return self._known[tokenizer_id]


def _id(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _key(tokenizer_id: str) -> str:
    return f"tokenizer:{tokenizer_id}"
