"""The lines that a person reads while ``penstock`` runs."""

import sys
import time
from contextlib import suppress
from typing import TextIO

NAME_WIDTH = 6


class Console:
    """Writes to standard output, or to another stream; goes on when nobody reads it any more."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream

    def say(self, name: str, text: str) -> None:
        """One line: when, who, what."""
        with suppress(OSError):
            self._stream.write(
                f"{time.strftime('%H:%M:%S')}  {name:{NAME_WIDTH}} {text}\n" if name else f"{time.strftime('%H:%M:%S')}  {text}\n"
            )
            self._stream.flush()
