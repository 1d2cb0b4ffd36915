"""Names looked up: on threads of their own, because a slow name holds one for long; and only addresses that may be asked are given on."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from pipelines.fetching.guard import Guard

THREADS = 16


class LookUps(AbstractResolver):
    """The system's look-ups. asyncio's own threads are for others, and so are uvloop's four."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="look-up")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Raises OSError for a name that nobody has."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port, family)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
            for kind, address in found
        ]

    async def close(self) -> None:
        """Look up no more. What is being looked up ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Gives only addresses that may be connected to, so that what was checked is what is asked. aiohttp asks it for names, not for IPs."""

    def __init__(self, resolver: AbstractResolver, guard: Guard) -> None:
        self._resolver = resolver
        self._guard = guard

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Raises BadRequest where none of the name's addresses may be asked."""
        found = await self._resolver.resolve(host, port, family)
        chosen = self._guard.choose(host.lower().rstrip("."), port, [one["host"] for one in found])
        return [one for one in found if one["host"] in chosen]

    async def close(self) -> None:
        """Close what looks up."""
        await self._resolver.close()


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)
    return [(kind, str(address[0])) for kind, _, _, _, address in found]
