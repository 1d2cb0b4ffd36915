"""A zygote from outside: started, sent calls, told to end them."""

import asyncio
import itertools
import os
import socket
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from core.errors import Unavailable
from pipelines.sandbox.broker.broker import Broker
from pipelines.sandbox.call import LOST, Call
from pipelines.sandbox.commands import command
from pipelines.sandbox.inside.zygote import CALL, ENDED, ENDING, HEAD, KILL, MAX_MESSAGE, READY
from pipelines.sandbox.outcome import Isolation, Limits, Outcome, Reason

BEGIN_S = 60.0
DYING_S = 5.0
MAX_SAID_BYTES = 2_000

NO_BROKER = "This worker lets no function reach hosts. Give the function none, or have it called where there is a broker."
NO_DOOR = "Outward calls need bubblewrap here: by Landlock alone a function would reach all that listens on this machine. Nothing was run."


class ZygoteProcess:
    """``alive``: it can be called."""

    def __init__(
        self, process: asyncio.subprocess.Process, control: socket.socket, isolation: Isolation, door: socket.socket | None
    ) -> None:
        self.process = process
        self.isolation = isolation
        self.alive = True
        self._control = control
        self._door = door
        self._broker: Broker | None = None
        self._server: asyncio.Server | None = None
        self._calls: dict[int, Call] = {}
        self._numbers = itertools.count(1)
        asyncio.get_running_loop().add_reader(control.fileno(), self._receive)

    async def serve(self, broker: Broker) -> None:
        """Let calls reach the hosts that each may, where there is a door to a broker."""
        self._broker = broker
        if self._door:
            self._server = await broker.serve(self._door)

    async def call(self, request: bytes, limits: Limits, hosts: Sequence[str] = ()) -> Outcome:
        """Have a child do one thing. Cancelled, it ends the child. ``hosts``: what it may reach. Raises Unavailable."""
        if not hosts:
            return await self._call(request, limits, "")
        if self._broker is None:
            raise Unavailable(NO_BROKER)
        if self._door is None:
            raise Unavailable(NO_DOOR)
        with self._broker.grant(hosts, limits, self._door) as proxy:
            return await self._call(request, limits, proxy)

    async def _call(self, request: bytes, limits: Limits, proxy: str) -> Outcome:
        number, call = next(self._numbers), Call(request, limits)
        self._calls[number] = call
        try:
            self._send(HEAD.pack(CALL, number) + msgspec.json.encode({"limits": limits, "proxy": proxy}), call.descriptors)
            call.listen()
            async with asyncio.timeout(BEGIN_S):
                await call.begun.wait()
            try:
                async with asyncio.timeout(limits.seconds):
                    await call.settled.wait()
            except TimeoutError:
                call.broke = Reason.TIME
            if not call.finished.is_set():
                self._send(HEAD.pack(KILL, number))
                async with asyncio.timeout(DYING_S):
                    await call.finished.wait()
            return call.outcome(self.isolation)
        except TimeoutError:
            self._lose()  # it answers no more
            raise Unavailable(LOST) from None
        finally:
            if not call.finished.is_set():
                with suppress(Unavailable):
                    self._send(HEAD.pack(KILL, number))
            del self._calls[number]
            call.close()

    async def close(self) -> None:
        """End it and all its children, now."""
        self._lose()
        await self.process.wait()

    def _send(self, message: bytes, descriptors: list[int] | None = None) -> None:
        if not self.alive:
            raise Unavailable(LOST)
        try:
            socket.send_fds(self._control, [message], descriptors or [])
        except OSError:
            self._lose()
            raise Unavailable(LOST) from None

    def _receive(self) -> None:
        try:
            message = self._control.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._lose()
            return
        kind, number = HEAD.unpack_from(message)
        if kind == ENDED and (call := self._calls.get(number)):
            call.end(*ENDING.unpack_from(message, HEAD.size))

    def _lose(self) -> None:
        if not self.alive:
            return
        self.alive = False
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        if self._server:
            self._server.close()
        elif self._door:
            self._door.close()
        with suppress(ProcessLookupError):
            self.process.kill()
        for call in self._calls.values():
            call.lose()


async def start(isolation: Isolation) -> ZygoteProcess:
    """A zygote that is ready. Raises Unavailable with the reason where this machine does not allow it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    said_end, say_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    ready = False
    process = None
    try:
        try:
            arguments, environment = await asyncio.to_thread(command, isolation, theirs.fileno())  # it looks at files
            process = await asyncio.create_subprocess_exec(
                *arguments,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=say_end,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            message = f"{isolation}: {error.strerror}."
            raise Unavailable(message) from error
        finally:
            theirs.close()
            os.close(say_end)
        async with asyncio.timeout(BEGIN_S):
            first, door = await _receive_first(ours)
        ready = first[:1] == READY
        if not ready:
            reason = f"{isolation}: {_last_line(said_end)}."
            raise Unavailable(reason)
        return ZygoteProcess(process, ours, isolation, door)
    except TimeoutError:
        message = f"{isolation}: it was not ready after {BEGIN_S:g} seconds."
        raise Unavailable(message) from None
    finally:
        os.close(said_end)
        if not ready:
            ours.close()
            if process is not None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


async def _receive_first(control: socket.socket) -> tuple[bytes, socket.socket | None]:
    """The first message, and the door that comes with it."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(control.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(control.fileno())
    message, descriptors, _, _ = socket.recv_fds(control, MAX_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
    door = socket.socket(fileno=descriptors[0]) if descriptors else None
    if door:
        door.settimeout(0)
    return message, door


def _last_line(said: int) -> str:
    with suppress(BlockingIOError):
        lines = os.read(said, MAX_SAID_BYTES).decode(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "its process ended at once"
