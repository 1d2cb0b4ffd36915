"""Having an Ollama pull a model. Source: Ollama's API, ``POST /api/pull``. It keeps what a pull that was broken off brought."""

from collections.abc import AsyncGenerator

import aiohttp
import msgspec

from core.errors import ModelNotFound, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from core.models.events import Progress
from core.security import redact_url

MISSING = ("file does not exist", "not found")
SHOWN_CHARACTERS = 300


class Line(msgspec.Struct, kw_only=True):
    """One line of its answer."""

    status: str = ""
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
    error: str | None = None


_decode = msgspec.json.Decoder(Line).decode


async def pull(client: aiohttp.ClientSession, url: str, name: str) -> AsyncGenerator[Progress, None]:
    """Its progress. Closing it stops the pull. Raises ModelNotFound before anything is given, UpstreamError and its kin."""
    first: Progress | None = None
    place = redact_url(url)
    try:
        async with client.post(f"{url}/api/pull", json={"model": name, "name": name, "stream": True}) as response:
            async for raw in response.content:
                line = _read(raw, place)
                if line is None:
                    continue
                if line.error or response.status != 200:  # noqa: PLR2004 - the one good status
                    raise _problem(line.error or f"HTTP {response.status}", place, name)
                if line.status == "success":
                    return
                step = Progress(status=line.status, digest=line.digest, total=line.total, completed=line.completed)
                if first is None:
                    first = step  # held back: only the second line tells that there is such a model
                    continue
                if first is not _GIVEN:
                    yield first
                    first = _GIVEN
                yield step
    except TimeoutError:
        message = f"The Ollama at {place} said nothing more. What arrived is kept: pull it again later."
        raise UpstreamTimeout(message) from None
    except aiohttp.ClientConnectorError:
        message = f"The Ollama at {place} cannot be reached."
        raise UpstreamRefused(message) from None
    except (aiohttp.ClientError, ConnectionError):
        raise UpstreamBroken(_CUT.format(place)) from None
    raise UpstreamBroken(_CUT.format(place))


_GIVEN = Progress(status="")
_CUT = "The Ollama at {} broke off. What arrived is kept: pull it again."


def _read(raw: bytes, place: str) -> Line | None:
    if not raw.strip():
        return None
    try:
        return _decode(raw)
    except msgspec.MsgspecError:
        message = f"The Ollama at {place} answered with something that is not its format: {raw[:SHOWN_CHARACTERS]!r}"
        raise UpstreamError(message) from None


def _problem(words: str, place: str, name: str) -> UpstreamError | ModelNotFound:
    if any(missing in words for missing in MISSING):
        return ModelNotFound(f"The Ollama at {place} finds no model {name!r}: {words[:SHOWN_CHARACTERS]}", param="name")
    return UpstreamError(f"The Ollama at {place} could not pull {name!r}: {words[:SHOWN_CHARACTERS]}")
