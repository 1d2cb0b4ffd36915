"""One line per request and per job, with ids that link them. Never a secret, never a message's text."""

import logging
import sys
from typing import Any

import msgspec
import structlog

from core.settings import LogFormat, Settings

Logger = structlog.typing.FilteringBoundLogger

_NOISY = ("aiohttp.access", "dramatiq", "asyncio", "pymongo", "socketio", "engineio", "strawberry")


def configure(settings: Settings) -> None:
    """Set up this process's logging, on standard error; libraries' warnings take the same form."""
    console = settings.log_format is LogFormat.CONSOLE or (settings.log_format is LogFormat.AUTO and sys.stderr.isatty())
    last: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not console:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(**bound: Any) -> Logger:
    """A logger whose lines all carry ``bound``."""
    logger: Logger = structlog.get_logger(**bound)
    return logger


def _json(value: Any, **_: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
