"""What supervised processes print: all of it into files, and on the console what its reader may have to act on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

MAX_FILE_BYTES = 20_000_000
MAX_LINE_BYTES = 100_000
LOUD = frozenset({"warning", "error", "critical"})
MAX_LAST = 300

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Log:
    """One process's log file; the one before it is kept. ``show`` is given the lines for the console.

    ``last``: its last words, which are no record of everyday work.
    """

    def __init__(self, path: Path, show: Callable[[str], None], *, verbose: bool = False) -> None:
        self.last = ""
        self._path = path
        self._show = show
        self._verbose = verbose
        self._rest = b""
        path.parent.mkdir(exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def begin(self) -> None:
        """The process is started again."""
        self.last = ""

    def hear(self, chunk: bytes) -> None:
        """More of what the process prints."""
        self._write(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            text = line.decode(errors="replace").strip()
            if text:
                short = for_console(text)
                if short or not text.startswith("{"):
                    self.last = (short or text)[:MAX_LAST]
                shown = text if self._verbose else short
                if shown:
                    self._show(shown)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, chunk: bytes) -> None:
        try:
            if self._file.tell() > MAX_FILE_BYTES:
                self._file.close()
                self._path.replace(self._path.with_suffix(".log.1"))
                self._file = self._path.open("ab", buffering=0)
            self._file.write(chunk)
        except OSError as error:  # a full disk must not end what still works
            self._show(f"its log cannot be written ({error.strerror})")


def for_console(line: str) -> str:
    """A JSON log line as a short one; empty for what the console does not show."""
    try:
        record = _decode(line.encode())
    except msgspec.DecodeError:
        return ""
    event, level = str(record.pop("event", "")), str(record.pop("level", "info"))
    if event in LIFECYCLE:
        return LIFECYCLE[event](record)
    if level not in LOUD:
        return ""
    details = " ".join(f"{name}={value}" for name, value in record.items() if name not in {"timestamp", "exception"})
    return f"{level}: {event} {details}".rstrip()


def _worker_ready(record: Mapping[str, Any]) -> str:
    models = ", ".join(map(str, record.get("models") or ()))
    return f"ready on {record.get('device')}" + (f": {models}" if models else "")


def _numerics(record: Mapping[str, Any]) -> str:
    return f"{record.get('model')}: {record['text']}" if record.get("text") else ""


LIFECYCLE: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "api ready": lambda _: "ready",
    "loading": lambda record: str(record.get("step", "")),
    "numerics": _numerics,
    "worker ready": _worker_ready,
}
