"""Programs that die are started again, stop in time, and none outlives its supervisor."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from penstock.backoff import Backoff
from penstock.logs import Log
from penstock.supervisor import CannotStart, Program, Supervisor, ending
from tests.polling import until

SLEEP = "import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"
WITH_CHILD = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"


class Heard:
    """All that a program prints."""

    def __init__(self) -> None:
        self.text = ""

    def begin(self) -> None:
        """All lives are heard as one."""

    def hear(self, chunk: bytes) -> None:
        self.text += chunk.decode()

    @property
    def last(self) -> str:
        return self.text.strip().rpartition("\n")[2]


def program_of(code: str, stop_s: float = 5) -> Program:
    return Program(name="child", command=(sys.executable, "-c", code), environment={}, stop_s=stop_s)


class Kept:
    """A supervisor at work; ``said``: what it told."""

    def __init__(self, code: str, stop_s: float = 5, backoff: Backoff | None = None) -> None:
        self.said: list[str] = []
        self.heard = Heard()
        self.supervisor = Supervisor(program_of(code, stop_s), self.said.append, self.heard, backoff)
        self.task = asyncio.create_task(self.supervisor.run())

    async def pid(self, *, other_than: int | None = None) -> int:
        """The child's, once it is there."""
        return await until(lambda: self.supervisor.pid if self.supervisor.pid != other_than else None, "the program runs")


@pytest.fixture
async def keep() -> AsyncIterator[Callable[..., Kept]]:
    made: list[Kept] = []

    def make(code: str, stop_s: float = 5, backoff: Backoff | None = None) -> Kept:
        made.append(Kept(code, stop_s, backoff))
        return made[-1]

    yield make
    for kept in made:
        kept.supervisor.kill()
        await asyncio.gather(kept.task, return_exceptions=True)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be reaped does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    return False


async def test_a_killed_program_is_started_again_at_once_and_this_is_said(keep: Callable[..., Kept]) -> None:
    kept = keep(SLEEP)
    first = await kept.pid()
    os.kill(first, signal.SIGKILL)
    await until(lambda: kept.said, "its death is told")
    assert await kept.pid(other_than=first) != first
    assert kept.said == ["died (killed by SIGKILL), starting again now"]


async def test_a_program_that_dies_young_is_started_less_and_less_often(keep: Callable[..., Kept]) -> None:
    kept = keep("print('no luck'); raise SystemExit(3)")
    await until(lambda: len(kept.said) == 3, "it died three times")
    again = "died (exit code 3), starting again"
    assert kept.said == [f"{again} now: no luck", f"{again} in 0.25 s: no luck", f"{again} in 0.5 s: no luck"]
    assert kept.supervisor.failing == ""


async def test_one_that_dies_again_and_again_is_said_to_once_until_it_has_run_for_a_while(
    keep: Callable[..., Kept], tmp_path: Path
) -> None:
    well = tmp_path / "well"
    code = f"import os, time; time.sleep(60) if os.path.exists({str(well)!r}) else print('no luck'); raise SystemExit(3)"
    kept = keep(code, backoff=Backoff(looping_pause_s=0.125, settled_s=5))
    await until(lambda: kept.said.count("died (exit code 3), starting again in 0.125 s: no luck") == 2, "it loops")
    assert kept.said[4] == "dies again and again: it is started only every 0.125 s now, until it has run for 5 s"
    assert [line for line in kept.said if "again and again" in line] == kept.said[4:5]
    assert kept.supervisor.failing == "exit code 3: no luck"
    well.touch()
    await until(lambda: "has run for" in kept.said[-1], "it is well")
    assert kept.supervisor.failing == ""


async def test_a_worker_that_gives_up_its_device_is_started_again_with_its_last_words(tmp_path: Path) -> None:
    lines = (
        {"event": "worker ready", "level": "info", "device": "cuda"},
        {"event": "fatal device error", "level": "error", "error": "illegal memory access"},
        {"event": "worker drained", "level": "info"},
    )
    code = f"import json, sys\nfor line in {lines!r}: print(json.dumps(line), file=sys.stderr)\nsys.exit(3)"
    said: list[str] = []
    log = await asyncio.to_thread(Log, tmp_path / "logs" / "gpu.log", lambda _: None)
    supervisor = Supervisor(program_of(code), said.append, log)
    task = asyncio.create_task(supervisor.run())
    await until(lambda: said, "its death is told")
    supervisor.kill()
    await task
    log.close()
    assert said[0] == "died (exit code 3), starting again now: error: fatal device error error=illegal memory access"


def test_last_words_are_of_the_last_life(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs" / "gpu.log", lambda _: None)
    log.hear(b"MemoryError\n")
    assert log.last == "MemoryError"
    log.begin()
    assert log.last == ""
    log.close()


def test_pauses_double_up_to_ten_seconds_and_a_long_life_forgives() -> None:
    backoff = Backoff()
    assert [backoff.pause(11) for _ in range(8)] == [0, 0.25, 0.5, 1, 2, 4, 8, 10]
    assert backoff.pause(30) == 0
    assert backoff.pause(1) == 0.25
    assert not backoff.looping


def test_the_fourth_crash_within_a_minute_makes_a_loop_that_a_long_life_ends() -> None:
    backoff = Backoff()
    assert [backoff.pause(2) for _ in range(5)] == [0, 0.25, 0.5, 30, 30]
    assert backoff.pause(29) == 30
    assert backoff.looping
    assert backoff.pause(30) == 0
    assert not backoff.looping


async def test_a_program_that_says_it_cannot_be_used_is_not_tried_again(keep: Callable[..., Kept]) -> None:
    kept = keep("import sys; sys.stderr.write('PENSTOCK_X: not like this\\n'); sys.exit(2)")
    with pytest.raises(CannotStart, match="PENSTOCK_X: not like this"):
        await kept.task


async def test_a_program_is_stopped_by_sigterm(keep: Callable[..., Kept]) -> None:
    kept = keep(SLEEP)
    pid = await kept.pid()
    await kept.supervisor.stop()
    assert not alive(pid)
    await kept.task
    assert kept.said == []


async def test_a_program_that_does_not_stop_in_time_is_killed(keep: Callable[..., Kept]) -> None:
    kept = keep(STUBBORN, stop_s=0.2)
    await until(lambda: kept.heard.text, "it ignores SIGTERM")
    pid = await kept.pid()
    await kept.supervisor.stop()
    assert not alive(pid)
    assert kept.said == ["did not stop within 0.2 s, killed"]


async def test_stopping_while_a_program_is_being_started_ends_it(keep: Callable[..., Kept]) -> None:
    kept = keep(SLEEP)
    await asyncio.sleep(0)  # the start is under way
    await kept.supervisor.stop()
    await kept.task
    assert kept.supervisor.pid is None


async def test_what_a_killed_program_had_started_is_gone_too(keep: Callable[..., Kept]) -> None:
    kept = keep(WITH_CHILD)
    grandchild = int(await until(lambda: kept.heard.last, "it has a child of its own"))
    assert alive(grandchild)
    os.kill(await kept.pid(), signal.SIGKILL)
    await until(lambda: not alive(grandchild), "its child is gone")


async def test_a_killed_supervisor_leaves_no_orphan() -> None:
    script = f"""
import asyncio, sys
from penstock.supervisor import Program, Supervisor
program = Program(name="child", command=(sys.executable, "-c", "import os; print(os.getpid(), flush=True); {SLEEP}"), environment={{}})
asyncio.run(Supervisor(program, print).run())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path.cwd())
    assert process.stdout
    child = int(await process.stdout.readline())
    assert alive(child)
    process.kill()
    await process.wait()
    await until(lambda: not alive(child), "the kernel has ended the child")


def test_endings_are_told_in_words() -> None:
    assert ending(1) == "exit code 1"
    assert ending(-9) == "killed by SIGKILL"
