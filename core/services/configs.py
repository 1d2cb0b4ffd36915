"""What administrators decide while the product runs: kept in the store, and known to every web process within a second."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import msgspec

from core.errors import Forbidden, Unavailable
from core.events import EventLog
from core.logging import get_logger
from core.models.configs import FunctionRights, RateLimits
from core.models.users import Principal
from core.settings import Settings
from core.storage.configs import Configs as ConfigRows

TOPIC = "configs"
RETRY_S = 1.0

T = TypeVar("T", bound=msgspec.Struct)

log = get_logger(face="core")


def defaults(settings: Settings) -> tuple[msgspec.Struct, ...]:
    """Each subject as it is until an administrator says otherwise."""
    return (
        RateLimits(
            requests_per_minute=settings.rate_limit_per_minute or None,
            uploads_per_minute=settings.upload_rate_limit_per_minute or None,
            admins_limited=False,
            anonymous_requests_per_minute=settings.anonymous_rate_limit_per_minute or None,
        ),
        FunctionRights(),
    )


class Configs:
    """The decisions in force, by their models."""

    def __init__(self, rows: ConfigRows, events: EventLog, subjects: Iterable[msgspec.Struct]) -> None:
        """``subjects``: each with its defaults."""
        self._rows = rows
        self._events = events
        self._defaults = {type(subject): subject for subject in subjects}
        self._current: dict[type, Any] = dict(self._defaults)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Know what was decided, and hear what is decided from now on."""
        await self._load()
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Hear no more."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def get(self, subject: type[T]) -> T:
        """What is in force here, now."""
        found: T = self._current[subject]
        return found

    async def get_for_administrator(self, principal: Principal, subject: type[T]) -> T:
        """The same for an administrator. Raises Forbidden."""
        _check(principal)
        return self.get(subject)

    async def change(self, principal: Principal, subject: type[T], changes: msgspec.Struct) -> T:
        """Set the fields of ``changes`` that are not UNSET, everywhere. Raises Forbidden."""
        _check(principal)
        await self._rows.change(_name(subject), msgspec.to_builtins(changes))
        await self._load()
        with suppress(Unavailable):  # those who cannot be told now read again when they can
            await self._events.notify(TOPIC, b"")
        log.info("decided", subject=_name(subject), user=principal.id)
        return self.get(subject)

    async def _load(self) -> None:
        for kind, default in self._defaults.items():
            stored = await self._rows.get(_name(kind))
            try:
                self._current[kind] = msgspec.convert({**msgspec.structs.asdict(default), **stored}, kind)
            except msgspec.ValidationError as error:  # written by another version, or by hand
                log.warning("stored decision cannot be used", subject=_name(kind), fault=str(error))
                self._current[kind] = default

    async def _follow(self) -> None:
        async with aclosing(self._events.hear(TOPIC)) as news:
            async for _ in news:
                while True:
                    try:
                        await self._load()
                        break
                    except Unavailable:
                        await asyncio.sleep(RETRY_S)


def _name(subject: type) -> str:
    """RateLimits is kept as rate_limits."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in subject.__name__).lstrip("_")


def _check(principal: Principal) -> None:
    if not principal.is_admin:
        message = "Only administrators may do this."
        raise Forbidden(message)
