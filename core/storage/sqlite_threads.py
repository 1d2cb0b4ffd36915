"""The threads that SQLite works on, so that the event loop never waits for a disk.

Handing work over costs more than most of the work, so a thread takes all that is queued in one go: reads share one snapshot and writes one transaction,
and one wake-up of the loop delivers all their results.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import apsw

from core.errors import BadRequest, Conflict, PenstockError, Unavailable

T = TypeVar("T")

Work = Callable[[apsw.Connection], Any]
_Result = tuple[Any, BaseException | None]

MAX_BATCH = 256


class _Call:
    __slots__ = ("answer", "work")

    def __init__(self, work: Work, answer: "asyncio.Future[Any]") -> None:
        self.work = work
        self.answer = answer


class Worker:
    """One connection on one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @classmethod
    async def start(cls, connect: Callable[[], apsw.Connection]) -> Self:
        """Connect, and begin. Raises what ``connect`` raises."""
        worker = cls()
        opened: asyncio.Future[Any] = worker._loop.create_future()
        worker._thread = threading.Thread(target=worker._run, args=(connect, opened), name=f"sqlite {cls.__name__.lower()}", daemon=True)
        worker._thread.start()
        await opened
        return worker

    async def call(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` on the connection. Raises core.errors; a caller that is cancelled does not undo it."""
        if self._thread is None:
            message = "The store is closed."
            raise Unavailable(message)
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Call(work, answer))
        return await answer

    async def close(self) -> None:
        """End the thread after what it has been given."""
        thread, self._thread = self._thread, None
        if thread:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    def batch(self, connection: apsw.Connection, work: Sequence[Work]) -> list[_Result]:
        """Run all, each with its own result or error."""
        raise NotImplementedError

    def _run(self, connect: Callable[[], apsw.Connection], opened: "asyncio.Future[Any]") -> None:
        try:
            connection = connect()
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            self._deliver([(opened, (None, error))])
            return
        self._deliver([(opened, (None, None))])
        with contextlib.closing(connection):
            while calls := self._take():
                results = self.batch(connection, [call.work for call in calls])
                self._deliver([(call.answer, result) for call, result in zip(calls, results, strict=True)])

    def _take(self) -> list[_Call]:
        """Wait for one, then take all that is there; nothing at the end."""
        first = self._queue.get()
        calls = [first] if first else []
        while calls and len(calls) < MAX_BATCH and not self._queue.empty():
            more = self._queue.get()
            if more is None:
                self._queue.put(None)
                break
            calls.append(more)
        return calls

    def _deliver(self, results: list[tuple["asyncio.Future[Any]", _Result]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, results)


class Reader(Worker):
    """Reads; never waits for a writer."""

    def batch(self, connection: apsw.Connection, work: Sequence[Work]) -> list[_Result]:
        """One snapshot for all: it begins after the last of them was asked for."""
        if len(work) == 1:
            return [_attempt(connection, work[0])]
        connection.execute("BEGIN")
        try:
            return [_attempt(connection, one) for one in work]
        finally:
            connection.execute("COMMIT")


class Writer(Worker):
    """Writes; waits for other processes' writers."""

    def batch(self, connection: apsw.Connection, work: Sequence[Work]) -> list[_Result]:
        """One transaction for all. What fails by a constraint fails alone; on any other error each is tried by itself, so that it too harms only its own."""
        results: list[_Result] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for one in work:
                result = _attempt(connection, one, guarded=True)
                if len(work) > 1 and isinstance(result[1], Unavailable):
                    _roll_back(connection)
                    return [self.batch(connection, [each])[0] for each in work]
                results.append(result)
            if connection.in_transaction:
                connection.execute("COMMIT")
        except apsw.Error as error:
            _roll_back(connection)
            if len(work) == 1 or isinstance(error, apsw.BusyError):
                return [(None, explained(error))] * len(work)
            return [self.batch(connection, [each])[0] for each in work]
        return results


def explained(error: apsw.Error) -> PenstockError:
    """What went wrong, for somebody who has not read SQLite's manual."""
    if isinstance(error, apsw.ConstraintError):
        return Conflict("Something with the same id or the same unique value is already there.")
    for kind, detail in _FAULTS:
        if isinstance(error, kind):
            return Unavailable(detail)
    if "malformed JSON" in str(error):
        return BadRequest("The JSON is nested too deeply to be stored.")
    return Unavailable(f"The database failed: {error}.")


_FAULTS: tuple[tuple[type[apsw.Error] | tuple[type[apsw.Error], ...], str], ...] = (
    (apsw.FullError, "The disk of the data folder is full. Free some space; what was stored before is safe."),
    ((apsw.ReadOnlyError, apsw.PermissionsError), "The database in the data folder may not be written. Check the owner of the folder and its files."),
    ((apsw.CantOpenError, apsw.IOError), "The database in the data folder cannot be read or written. Check that the folder is there and its disk is sound."),
    ((apsw.BusyError, apsw.LockedError), "The database is busy with another process's writing. Try again in a moment."),
    ((apsw.CorruptError, apsw.NotADBError), "The file penstock.db in the data folder is damaged or not a database. Put a backup in its place, or move it away."),
    (apsw.TooBigError, "That is too large to be stored in one piece."),
)


def _attempt(connection: apsw.Connection, work: Work, *, guarded: bool = False) -> _Result:
    try:
        if not guarded:
            return work(connection), None
        with connection:  # a savepoint inside the transaction
            return work(connection), None
    except apsw.Error as error:
        return None, explained(error)
    except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
        return None, error


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _settle(results: list[tuple["asyncio.Future[Any]", _Result]]) -> None:
    for answer, (value, error) in results:
        if answer.done():
            continue
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)
