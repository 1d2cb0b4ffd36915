"""The ``penstock`` command as real processes, each in a folder of its own that is not the checkout."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.polling import until

ROOT = Path(__file__).parent.parent.parent
STOP_S = 10


class Command:
    """One run of ``penstock``. Settings are given as keywords without their prefix; ``path``: the PATH that it sees."""

    def __init__(self, folder: Path, *words: str, path: str | None = None, **settings: object) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}  # noqa: TID251 - handing it on
        self._environment = (
            inherited | {f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
        )
        self._environment |= {} if path is None else {"PATH": path}
        self._words = words
        self._folder = folder
        self._output = folder / f"output-{len(list(folder.iterdir()))}"
        self._errors = self._output.with_suffix(".errors")
        self.process: asyncio.subprocess.Process

    @property
    def output(self) -> str:
        """Its standard output so far."""
        return self._output.read_text()

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        return self._errors.read_text()

    async def start(self, output: int | None = None) -> None:
        """Start it. ``output``: a descriptor that it writes to instead of a file."""
        with self._output.open("wb") as file, self._errors.open("wb") as errors:
            words = (sys.executable, "-m", "penstock", *self._words)
            self.process = await asyncio.create_subprocess_exec(
                *words, env=self._environment, stdout=file if output is None else output, stderr=errors, cwd=self._folder
            )

    async def says(self, text: str) -> None:
        """Wait until it has printed something."""

        def printed() -> bool:
            assert text in self.output or self.process.returncode is None, f"{self.output}\n{self.errors}"
            return text in self.output

        await until(printed, f"{text!r} is printed", timeout_s=90)

    async def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if any, and wait for the end; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), STOP_S)


Run = Callable[..., "Command"]


@pytest.fixture
async def penstock(tmp_path: Path) -> AsyncIterator[Run]:
    """Makes commands; those that still run at the end of the test are killed."""
    made: list[Command] = []

    def make(*words: str, path: str | None = None, **settings: object) -> Command:
        made.append(Command(tmp_path, *words, path=path, **settings))
        return made[-1]

    yield make
    for command in made:
        if hasattr(command, "process") and command.process.returncode is None:
            with suppress(ProcessLookupError):
                command.process.kill()
            await command.process.wait()


def family(pid: int) -> set[int]:
    """The live children of a process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.add(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be reaped does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"
    return False
