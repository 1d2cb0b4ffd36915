"""Jobs that wait for others, and the worker that does them: it must take what they wait for."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

Expect = Callable[[str], AbstractContextManager[None]]

_expect: ContextVar[Expect | None] = ContextVar("expect", default=None)


def expect_with(expect: Expect) -> None:
    """``expect``: entered, with a kind, for as long as this task waits for a job of that kind, or one that it has begun does."""
    _expect.set(expect)


@contextmanager
def waiting_for(kind: str) -> Iterator[None]:
    """Around waiting for a job's end. Outside of jobs nobody needs to know."""
    expect = _expect.get()
    with expect(kind) if expect else nullcontext():
        yield
