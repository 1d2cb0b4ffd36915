"""Writing a job's event log at the pace that its readers and Redis bear."""

import asyncio
from collections.abc import Sequence

import msgspec

from core.errors import Unavailable
from core.jobs.claims import Claim, Claims
from core.logging import get_logger
from core.models.events import Delta, Event
from core.models.jobs import JobStatus

PATIENCE_S = 0.05
FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0

log = get_logger()


class LogWriter:
    """The first delta goes out at once; later ones are joined for ``flush_ms``, and what comes before the first waits a little for it.

    One append is under way at a time, so entries keep their order. Adding never waits: a slow Redis makes the joined
    deltas longer, not the worker slower; one that takes nothing is tried again. All that this claim appended is kept: what Redis loses
    of it is appended again.
    """

    def __init__(self, claims: Claims, claim: Claim, *, flush_ms: int) -> None:
        self._claims = claims
        self._claim = claim
        self._pause_s = flush_ms / 1000
        self._pending: list[Event] = []
        self._appended: list[Event] = []
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._append: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._sending = asyncio.Lock()

    def add(self, *entries: Event) -> None:
        """Entries to append soon. Raises Fenced where an earlier append found the job to be another's now."""
        if self._error:
            raise self._error
        for entry in entries:
            last = self._pending[-1] if self._pending else None
            joined = _joined(last, entry) if isinstance(last, Delta) and isinstance(entry, Delta) else None
            if joined:
                self._pending[-1] = joined
            else:
                self._pending.append(entry)
        self._schedule()

    async def flush(self) -> None:
        """Append what is pending, now. Raises Fenced, also where nothing is."""
        await self._quiet()
        await self._send()

    async def end(self, status: JobStatus, entries: Sequence[Event]) -> None:
        """Append what is left and these, and end the job, all in one step. Raises Fenced."""
        await self._quiet()
        self._pending.extend(entries)
        await self._send(status)

    async def _quiet(self) -> None:
        """Stop the timer and wait for the append under way."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._append:
            self._append.remove_done_callback(self._done)
            task, self._append = self._append, None
            await task
        if self._error:
            raise self._error

    def _schedule(self) -> None:
        if self._append:
            return
        loop = asyncio.get_running_loop()
        begun = any(isinstance(entry, Delta) for entry in self._pending)
        due = self._due if begun else loop.time() + PATIENCE_S
        if self._timer:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_due = loop.call_at(due, self._begin), due

    def _begin(self) -> None:
        self._timer = None
        self._due = asyncio.get_running_loop().time() + self._pause_s
        self._append = asyncio.create_task(self._send())
        self._append.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._append = None
        if not task.cancelled() and (error := task.exception()):
            self._error = error
        elif self._pending:
            self._schedule()

    async def _send(self, end: JobStatus | None = None) -> None:
        async with self._sending:  # several calls of tools may flush at once
            await self._send_pending(end)

    async def _send_pending(self, end: JobStatus | None) -> None:
        entries, self._pending = self._pending, []
        begin = len(self._appended)
        self._appended.extend(entries)
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                new, before = self._appended[begin:], self._appended[:begin] if end else ()
                last = await self._claims.append(self._claim, begin + 1, new, end=end, before=before)
            except Unavailable as error:
                log.warning("waiting", why=error.detail)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
                continue
            if last >= begin:
                return
            begin = last  # Redis has lost what it had confirmed


def _joined(last: Delta, more: Delta) -> Delta | None:
    if last.choice != more.choice or last.extra or more.extra:
        return None
    logprobs = last.logprobs.joined(more.logprobs) if last.logprobs else more.logprobs
    return msgspec.structs.replace(last, text=last.text + more.text, tokens=last.tokens + more.tokens, logprobs=logprobs)
