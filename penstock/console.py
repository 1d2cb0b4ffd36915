"""The lines that a person reads while ``penstock`` runs."""

import os
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

NAME_WIDTH = 6
MAX_UNREAD_BYTES = 1_000_000
LAST_LINES_S = 1.0


class Console:
    """Writes to standard output, or to another stream. Whoever says something never waits for its reader, nor minds that there is none.

    A thread writes. What a slow reader has not taken is kept up to ``max_unread_bytes``; then lines are left out, and how many is said in
    their place. Leaving the ``with`` block gives the reader ``LAST_LINES_S`` for the last ones.
    """

    def __init__(self, stream: TextIO | None = None, *, max_unread_bytes: int = MAX_UNREAD_BYTES) -> None:
        self._descriptor = (stream or sys.stdout).fileno()
        self._max_unread_bytes = max_unread_bytes
        self._unread = bytearray()
        self._left_out = 0
        self._over = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._change:
            self._over = True
            self._change.notify()
        self._thread.join(LAST_LINES_S)

    def say(self, name: str, text: str) -> None:
        """One line: when, who, what."""
        line = _line(name, text)
        with self._change:
            if self._left_out or len(self._unread) + len(line) > self._max_unread_bytes:
                self._left_out += 1
            else:
                self._unread += line
            self._change.notify()

    def _write(self) -> None:
        """Past the stream's own buffer: its lock would be held while the reader is waited for, and the interpreter's end needs it."""
        while text := self._next():
            with suppress(OSError):  # nobody reads any more
                while text:
                    text = text[os.write(self._descriptor, text) :]

    def _next(self) -> bytes:
        """What was said since the last time; empty at the end."""
        with self._change:
            self._change.wait_for(lambda: self._unread or self._left_out or self._over)
            text = bytes(self._unread)
            if self._left_out:
                text += _line("", f"{self._left_out} lines were left out here: they came faster than they were read.")
            self._unread.clear()
            self._left_out = 0
            return text


def _line(name: str, text: str) -> bytes:
    said = f"{name:{NAME_WIDTH}} {text}" if name else text
    return f"{time.strftime('%H:%M:%S')}  {said}\n".encode(errors="replace")
