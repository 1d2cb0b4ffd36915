"""``python -m api``: one web process. ``penstock api`` starts as many as the settings say, and starts them again when they die."""

import asyncio
import errno
import os
import signal
import sys

import uvloop
from aiohttp import web

from api.app import create_app
from api.http.keys import SOCKETS
from api.http.server import Runner
from core import settings as settings_module
from core.collector import spare_the_collector
from core.errors import PenstockError, SettingsError
from core.logging import configure, get_logger
from core.settings import Settings

BACKLOG = 1024

log = get_logger(face="rest")


def main() -> None:
    """Serve until told to stop. What cannot be used (a setting, a port): one line, exit code 2."""
    try:
        settings = settings_module.with_secret_key(settings_module.load())
        configure(settings)
        uvloop.run(serve(settings))
    except PenstockError as error:
        sys.stderr.write(f"penstock api: {error.detail}\n")
        sys.exit(2)


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Open streams are ended; their clients resume elsewhere, or here after a restart.

    Raises SettingsError, Unavailable.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = Runner(create_app(settings))
    try:
        await runner.setup()
        spare_the_collector()
        await _listen(runner, settings)
        log.info("api ready", url=f"http://{settings.host}:{settings.port}", pid=os.getpid())
        await stop.wait()
    finally:
        await runner.cleanup()
    log.info("api stopped", pid=os.getpid())


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG, reuse_port=settings.api_processes > 1)
    try:
        await site.start()
    except OSError as error:
        reason = "is in use by another program" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error.strerror})"
        message = (
            f"{settings.host}:{settings.port} {reason}. Set PENSTOCK_PORT (and PENSTOCK_HOST) to another address, or stop what holds it."
        )
        raise SettingsError(message) from None
    if settings.api_processes > 1:
        await runner.app[SOCKETS].listen(runner)


if __name__ == "__main__":
    main()
