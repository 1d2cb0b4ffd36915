"""The engine's one thread: takes what was submitted, runs step after step, sleeps when there is nothing to do."""

import threading
import time
from collections import deque
from collections.abc import Callable

from core.errors import PenstockError, Unavailable
from core.logging import get_logger
from gpu.device_lock import DeviceLock
from gpu.logprobs import distributions
from gpu.runner import Runner
from gpu.scheduler import Scheduler, Work
from gpu.sequence import Sequence

log = get_logger()


class EngineLoop:
    """``after_step`` is called on the thread after every step.

    A step that fails is repeated one request at a time, so that a bad one fails alone.
    """

    def __init__(self, runner: Runner, scheduler: Scheduler, *, device_lock: DeviceLock, after_step: Callable[[], None], name: str) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._device_lock = device_lock
        self._after_step = after_step
        self._changed = threading.Condition()
        self._inbox: deque[Sequence] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=f"engine-{name}", daemon=True)
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; callable from any thread."""
        with self._changed:
            if self._closed:
                raise _closing()
            self._inbox.append(sequence)
            self._changed.notify()

    def close(self) -> None:
        """End after the step that runs now; what is not finished fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def load(self) -> int:
        """Requests running and waiting."""
        return len(self._inbox) + len(self._scheduler.running) + len(self._scheduler.waiting)

    def _serve(self) -> None:
        while self._take():
            self._scheduler.sweep()
            works = self._scheduler.plan()
            with self._device_lock.take():
                began = time.perf_counter()
                self._runner.prepare(self._scheduler.released, self._scheduler.copies)
                self._step(works)
                took = time.perf_counter() - began
            if works:
                self._after_step()
                self._scheduler.observe(works, took)
        for sequence in [*self._scheduler.running, *self._scheduler.waiting]:
            sequence.deliver(_closing())
        self._after_step()

    def _take(self) -> bool:
        """Move what was submitted to the scheduler, waiting where there is nothing else to do. False: the end."""
        with self._changed:
            while not (self._inbox or self._closed or self._scheduler.busy):
                self._changed.wait()
            while self._inbox:
                self._scheduler.add(self._inbox.popleft())
            return not self._closed

    def _step(self, works: list[Work]) -> None:
        if not works:
            return
        try:
            self._compute(works)
        except Exception as error:  # noqa: BLE001 - whatever it was, it must not end the other answers
            if len(works) == 1:
                _fail(works[0].sequence, error)
            else:
                for work in works:
                    if not work.sequence.ended:
                        self._step([work])

    def _compute(self, works: list[Work]) -> None:
        logits = self._runner.run(works)
        for work in works:
            work.sequence.computed = work.stop
        ready = [work.sequence for work in works if work.completes]
        told = distributions(self._runner.forward, logits, ready)
        for place, (sequence, token) in enumerate(zip(ready, self._runner.forward.choose(logits, ready) if ready else [], strict=True)):
            if token is None:
                _fail(sequence, ArithmeticError("logits are not finite"))
            else:
                sequence.accept(token, told.scored(place, token, sequence.sampling.logprobs or 0))


def _fail(sequence: Sequence, error: Exception) -> None:
    log.error("generation step failed", error=f"{type(error).__name__}: {error}")
    sequence.cancelled = True
    sequence.computed = 0  # nobody takes over what may have gone wrong
    sequence.deliver(PenstockError("The model failed on this request. Ask again; if it happens again, the worker's log says why."))


def _closing() -> Unavailable:
    return Unavailable("This worker is stopping. Ask again.", retry_after=1)
