"""Several supervised programs with one fate, and the signals that end them."""

import asyncio
import signal
from collections.abc import Sequence

from penstock.supervisor import Listener, Program, Say, Supervisor

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessGroup:
    """Programs are started one by one, and stopped in the order that is asked for. One that cannot start at all ends everything."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Supervisor] = {}
        self._stop = asyncio.Event()
        for number in ENDING_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._obey)

    def start(self, program: Program, say: Say, listener: Listener | None = None) -> Supervisor:
        """Keep a program running."""
        supervisor = Supervisor(program, say, listener)
        task = asyncio.create_task(supervisor.run())
        self._tasks[task] = supervisor
        task.add_done_callback(self._ended)
        return supervisor

    async def stopped(self) -> None:
        """Wait for the first signal; the second one kills. Raises CannotStart where a program cannot."""
        await self._stop.wait()
        for task in self._tasks:
            if task.done():
                task.result()

    async def until_stopped(self, work: "asyncio.Task[None]") -> bool:
        """Wait for some work; False where the end came first. Raises CannotStart where a program cannot start."""
        stopping = asyncio.create_task(self.stopped())
        try:
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                stopping.result()
                return False
            work.result()
            return True
        finally:
            for task in (work, stopping):
                task.cancel()
            await asyncio.gather(work, stopping, return_exceptions=True)

    async def stop(self, supervisors: Sequence[Supervisor] | None = None) -> None:
        """End these programs, or all that are left, at the same time."""
        ending = [supervisor for supervisor in self._tasks.values() if supervisors is None or supervisor in supervisors]
        await asyncio.gather(*(supervisor.stop() for supervisor in ending))
        await asyncio.gather(*(task for task, supervisor in self._tasks.items() if supervisor in ending), return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """One that has left leaves the others running."""
        if task.cancelled() or task.exception() or all(other.done() for other in self._tasks):
            self._stop.set()

    def _obey(self) -> None:
        if self._stop.is_set():
            for supervisor in self._tasks.values():
                supervisor.kill()
        self._stop.set()
