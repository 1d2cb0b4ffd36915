"""What one call may reach, and how much of it."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from core.errors import Forbidden, RateLimited, TooLarge
from core.models.outward_hosts import OutwardHost
from pipelines.sandbox.outcome import Limits


class Grant:
    """``token``: how the call shows that it is itself."""

    def __init__(self, hosts: Sequence[str], limits: Limits) -> None:
        """Raises ValueError for what is no host."""
        self.token = secrets.token_urlsafe()
        self._hosts = tuple(map(OutwardHost.parse, hosts))
        self._limits = limits
        self._sent = self._received = 0
        self._connections: set[asyncio.Task[object]] = set()

    def check(self, host: str, port: int) -> None:
        """Raises Forbidden for a host that is not granted."""
        if not any(rule.covers(host, port) for rule in self._hosts):
            message = f"This function may not reach {host} on port {port}. Ask an administrator to add it to the function's hosts."
            raise Forbidden(message)

    def send(self, size: int) -> None:
        """So many bytes go out. Raises TooLarge."""
        self._sent += size
        if self._sent > self._limits.sent_bytes:
            message = f"A call may send {self._limits.sent_bytes} bytes, and this one would send more. Send less, or make several calls."
            raise TooLarge(message)

    def receive(self, size: int) -> None:
        """So many bytes have come in. Raises TooLarge."""
        self._received += size
        if self._received > self._limits.received_bytes:
            message = f"A call may receive {self._limits.received_bytes} bytes, and this one had more. Ask for less, or make several calls."
            raise TooLarge(message)

    @contextmanager
    def connection(self) -> Iterator[None]:
        """The task that runs this is one of the call's connections. Raises RateLimited where there are too many, and TooLarge."""
        if len(self._connections) >= self._limits.connections:
            message = f"A call may have {self._limits.connections} connections at a time. Close one first."
            raise RateLimited(message)
        self.send(0)
        self.receive(0)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it is run by one
        self._connections.add(task)
        try:
            yield
        finally:
            self._connections.discard(task)

    def close(self) -> None:
        """The call has ended, and so do its connections."""
        for task in self._connections:
            task.cancel()
