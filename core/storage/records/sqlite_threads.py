"""The threads that SQLite works on, so that the event loop never waits for a disk.

Handing work over costs more than most of the work, so a thread takes all that is queued in one go: reads share one snapshot and writes one
transaction, and one wake-up of the loop delivers all their results.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import apsw

from core.errors import Unavailable
from core.storage.records.sqlite_errors import explain

T = TypeVar("T")

MAX_BATCH = 256

Work = Callable[[apsw.Connection], Any]
Result = tuple[Any, BaseException | None]
Batch = Callable[[apsw.Connection, Sequence[Work]], list[Result]]

_Answer = asyncio.Future[Any]


class SqliteThread:
    """One connection on one thread. Made by ``start``."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Work, _Answer] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @classmethod
    async def start(cls, connect: Callable[[], apsw.Connection], batch: Batch) -> "SqliteThread":
        """Connect, and begin to serve batches by ``read`` or ``write``. Raises what ``connect`` raises."""
        started = cls(batch)
        opened: _Answer = started._loop.create_future()
        started._thread = threading.Thread(target=started._run, args=(connect, opened), name=f"sqlite {batch.__name__}", daemon=True)
        started._thread.start()
        await opened
        return started

    async def call(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` on the connection. Raises core.errors; a caller that is cancelled does not undo it."""
        if self._thread is None:
            message = "The store is closed."
            raise Unavailable(message)
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, answer))
        return await answer

    async def close(self) -> None:
        """End the thread after what it has been given."""
        thread, self._thread = self._thread, None
        if thread:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    def _run(self, connect: Callable[[], apsw.Connection], opened: _Answer) -> None:
        try:
            connection = connect()
        except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
            self._deliver([(opened, (None, error))])
            return
        self._deliver([(opened, (None, None))])
        with contextlib.closing(connection):
            while taken := self._take():
                results = _all(self._batch, connection, [work for work, _ in taken])
                self._deliver([(answer, result) for (_, answer), result in zip(taken, results, strict=True)])

    def _take(self) -> list[tuple[Work, _Answer]]:
        """Wait for one, then take all that is there; nothing at the end."""
        first = self._queue.get()
        taken = [first] if first else []
        while taken and len(taken) < MAX_BATCH and not self._queue.empty():
            more = self._queue.get()
            if more is None:
                self._queue.put(None)
                break
            taken.append(more)
        return taken

    def _deliver(self, results: list[tuple[_Answer, Result]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, results)


def _all(batch: Batch, connection: apsw.Connection, works: Sequence[Work]) -> list[Result]:
    """Whatever happens, everybody gets an answer and the thread goes on."""
    try:
        return batch(connection, works)
    except Exception as error:  # noqa: BLE001 - it is raised where the callers wait
        return [(None, _failure(error))] * len(works)


def read(connection: apsw.Connection, works: Sequence[Work]) -> list[Result]:
    """All on one snapshot: it begins after the last of them was asked for, so each sees what was written before."""
    if len(works) == 1:
        return [_attempt(connection, works[0])]
    with _transaction(connection, "BEGIN"):
        return [_attempt(connection, work) for work in works]


def write(connection: apsw.Connection, works: Sequence[Work]) -> list[Result]:
    """All in one transaction. Where one fails nothing of it stays, and each is tried by itself, so that it fails alone."""
    try:
        with _transaction(connection, "BEGIN IMMEDIATE"):
            return [(work(connection), None) for work in works]
    except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
        if len(works) > 1 and not isinstance(error, apsw.BusyError):
            return [write(connection, [work])[0] for work in works]
        # busy: another process writes, for longer than all of them would wait
        return [(None, _failure(error))] * len(works)


@contextlib.contextmanager
def _transaction(connection: apsw.Connection, begin: str) -> Generator[None, None, None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def _attempt(connection: apsw.Connection, work: Work) -> Result:
    try:
        return work(connection), None
    except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
        return None, _failure(error)


def _failure(error: Exception) -> Exception:
    return explain(error) if isinstance(error, apsw.Error) else error


def _settle(results: list[tuple[_Answer, Result]]) -> None:
    for answer, (value, error) in results:
        if answer.done():
            continue
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)
