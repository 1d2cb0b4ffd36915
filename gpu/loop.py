"""The engine's one thread: takes what was submitted, runs step after step, sleeps when there is nothing to do."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from core.errors import PenstockError, Unavailable
from core.logging import get_logger
from gpu.device_lock import DeviceLock
from gpu.failures import Barren, explain_failure, is_fatal, tell
from gpu.logprobs import distributions
from gpu.runner import Runner
from gpu.scheduler import Scheduler, Work
from gpu.sequence import Sequence
from gpu.shares import Share

log = get_logger()

_Failed = tuple[Sequence, Exception]


class EngineLoop:
    """``after_step`` is called on the thread after every step.

    A step that fails is repeated one request at a time, so that a bad one fails alone. Where that leaves nobody, a step of our own tells
    bad requests from an engine that has failed. One that has ends all its requests with EngineFailed, refuses others with the same, and
    calls ``on_failure`` once, on its thread, with the reason.
    """

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        *,
        device_lock: DeviceLock,
        after_step: Callable[[], None],
        name: str,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._after_step = after_step
        self._name = name
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._inbox: deque[Sequence] = deque()
        self._open: set[Sequence] = set()  # whoever waits for an end, wherever the scheduler has them
        self._barren = Barren()
        self._refusal: Callable[[], PenstockError] | None = None
        self._seat = device_lock.seat(self._wants)
        self._thread = threading.Thread(target=self._serve, name=f"engine-{name}", daemon=True)
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; callable from any thread."""
        with self._changed:
            if self._refusal:
                raise self._refusal()
            self._inbox.append(sequence)
            self._changed.notify()

    def close(self) -> None:
        """End after the step that runs now; what is not finished fails."""
        with self._changed:
            self._refusal = self._refusal or _closing
            self._changed.notify()
        self._thread.join()

    @property
    def load(self) -> int:
        """Requests running and waiting."""
        return len(self._inbox) + len(self._scheduler.running) + len(self._scheduler.waiting)

    def _wants(self) -> Collection[Share]:
        return (Share.DECODING,) if self.load else ()

    def _serve(self) -> None:
        try:
            while self._take():
                self._turn()
            self._dismiss(_closing)
        except BaseException as error:  # noqa: BLE001 - whatever it was, who waits must hear of it
            self._fail(error)
        finally:
            self._seat.leave()

    def _take(self) -> bool:
        """Move what was submitted to the scheduler, waiting where there is nothing else to do. False: the end."""
        with self._changed:
            while not (self._inbox or self._refusal or self._scheduler.busy):
                self._changed.wait()
            while self._inbox:
                self._open.add(self._inbox[0])
                self._scheduler.add(self._inbox.popleft())
            return not self._refusal

    def _turn(self) -> None:
        self._scheduler.sweep()
        self._open = {sequence for sequence in self._open if not sequence.ended}
        works = self._scheduler.plan()
        with self._seat.take():
            began = time.perf_counter()
            self._runner.prepare(self._scheduler.released, self._scheduler.copies)
            self._step(works)
            took = time.perf_counter() - began
        if works:
            self._after_step()
            self._scheduler.observe(works, took)

    def _step(self, works: list[Work]) -> None:
        failed = self._try(works)
        if len(failed) < len(works):
            self._barren.end()
        elif failed:
            self._examine(failed)
        for sequence, error in failed:
            _end(sequence, error)

    def _try(self, works: list[Work]) -> list[_Failed]:
        """Compute, and one request at a time where that raises; those that failed. Raises what is fatal."""
        try:
            return self._compute(works) if works else []
        except Exception as error:
            if is_fatal(error):
                raise
            if len(works) == 1:
                return [(works[0].sequence, error)]
        return [failed for work in works if not work.sequence.ended for failed in self._try([work])]

    def _compute(self, works: list[Work]) -> list[_Failed]:
        logits = self._runner.run(works)
        for work in works:
            work.sequence.computed = work.stop
        ready = [work.sequence for work in works if work.completes]
        told = distributions(self._runner.forward, logits, ready)
        failed: list[_Failed] = []
        for place, (sequence, token) in enumerate(zip(ready, self._runner.forward.choose(logits, ready) if ready else [], strict=True)):
            if token is None:
                failed.append((sequence, ArithmeticError("logits are not finite")))
            else:
                sequence.accept(token, told.score(place, token, sequence.sampling.logprobs or 0))
        return failed

    def _examine(self, failed: list[_Failed]) -> None:
        """After a step that failed for all. Raises where it was not the requests."""
        self._barren.add((sequence.request_id for sequence, _ in failed), failed[-1][1])
        self._runner.try_out(failed[0][0].row or 0)

    def _fail(self, error: BaseException) -> None:
        """The hook is called before the readers hear of it: whoever acts on it is ready for them."""
        with self._changed:
            self._refusal = explain_failure
        try:
            tell(self._name, error, self._on_failure)
        finally:
            self._dismiss(explain_failure)

    def _dismiss(self, refusal: Callable[[], PenstockError]) -> None:
        """Nothing is taken any more; whoever waits hears why."""
        for sequence in [*self._open, *self._inbox]:
            if not sequence.ended:
                sequence.deliver(refusal())
        self._after_step()


def _end(sequence: Sequence, error: Exception) -> None:
    log.error("generation step failed", error=f"{type(error).__name__}: {error}")
    sequence.cancelled = True
    sequence.computed = 0  # nobody takes over what may have gone wrong
    sequence.deliver(PenstockError("The model failed on this request. Ask again; if it happens again, the worker's log says why."))


def _closing() -> Unavailable:
    return Unavailable("This worker is stopping. Ask again.", retry_after=1)
