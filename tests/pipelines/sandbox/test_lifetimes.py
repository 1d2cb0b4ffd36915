"""What a sandbox leaves behind, and what becomes of calls when something ends. On each kind of isolation."""

import asyncio
import os
import signal
import sys

import pytest

from core.errors import Unavailable
from pipelines.sandbox import zygote_process
from pipelines.sandbox.outcome import MIB, Isolation
from pipelines.sandbox.probe import probe
from pipelines.sandbox.sandbox import Sandbox
from pipelines.sandbox.self_attack import ATTACKS, attack_self
from tests.conftest import ROOT
from tests.pipelines.sandbox.calls import SLEEP, call, result
from tests.pipelines.sandbox.processes import all_gone, anonymous_bytes, below, descriptors, zygotes
from tests.polling import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_calls_leave_no_process_and_no_descriptor(sandbox: Sandbox) -> None:
    await call(sandbox, "def f(): return 1")
    processes, ours = zygotes(sandbox), descriptors(os.getpid())
    theirs = [descriptors(process) for process in sorted(processes)]
    await asyncio.gather(*(call(sandbox, "def f(): return 1") for _ in range(30)))
    assert zygotes(sandbox) == processes
    assert descriptors(os.getpid()) == ours
    assert [descriptors(process) for process in sorted(processes)] == theirs


async def test_a_cancelled_call_ends_its_process(sandbox: Sandbox) -> None:
    processes = zygotes(sandbox)
    task = asyncio.create_task(call(sandbox, SLEEP))
    await until(lambda: len(zygotes(sandbox)) == len(processes) + 1, "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: zygotes(sandbox) == processes, "its process has ended")


async def test_a_zygote_that_dies_is_started_again(sandbox: Sandbox) -> None:
    task = asyncio.create_task(call(sandbox, SLEEP))
    before = zygotes(sandbox)
    await until(lambda: len(zygotes(sandbox)) == len(before) + 1, "it runs")
    everything = zygotes(sandbox)
    os.kill(sandbox._zygote.process.pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match="in the middle of the call"):
        await task
    assert result(await call(sandbox, "def f(): return 1")) == 1
    await until(lambda: all_gone(everything), "all of it has ended")


async def test_a_zygote_that_hangs_is_ended(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote_process, "BEGIN_S", 0.5)
    for process in zygotes(sandbox):
        os.kill(process, signal.SIGSTOP)
    everything = zygotes(sandbox)
    with pytest.raises(Unavailable):
        await call(sandbox, "def f(): return 1")
    monkeypatch.undo()
    assert result(await call(sandbox, "def f(): return 1")) == 1
    await until(lambda: all_gone(everything), "all of it has ended")


async def test_a_closed_sandbox_leaves_nothing(sandbox: Sandbox) -> None:
    async with Sandbox.open(isolations=[sandbox.isolation]) as other:
        task = asyncio.create_task(call(other, SLEEP))
        await until(lambda: len(zygotes(other)) > 1, "it runs")
        everything = zygotes(other)
    with pytest.raises(Unavailable):
        await task
    await until(lambda: all_gone(everything), "all of it has ended")
    with pytest.raises(Unavailable, match="closed"):
        await call(other, "def f(): return 1")


async def test_all_ends_with_the_supervisor(sandbox: Sandbox) -> None:
    program = f"""
import asyncio
from pipelines.sandbox.outcome import MIB, Isolation
from pipelines.sandbox.sandbox import Sandbox
async def main():
    async with Sandbox.open(isolations=[Isolation('{sandbox.isolation}')]) as sandbox:
        task = asyncio.create_task(sandbox.call(code='import time\\ndef f():\\n  while True: time.sleep(60)', function='f', arguments={{}}))
        await asyncio.sleep(0.5)
        print('running', flush=True)
        await task
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"running\n"
    everything = below(process.pid)
    process.kill()
    await process.wait()
    assert len(everything) > 1
    await until(lambda: all_gone(everything), "all of it has ended")


async def test_the_self_attack_is_denied_in_all_of_its_cases(sandbox: Sandbox) -> None:
    verdicts = await attack_self(sandbox)
    assert [verdict for verdict in verdicts if not verdict.denied] == []
    assert len(verdicts) == len(ATTACKS) == 20


async def test_the_probe_says_what_there_is() -> None:
    found = await probe()
    assert found.isolation in {*Isolation, None}
    assert bool(found.covers) == (found.isolation is not None)


async def test_without_bubblewrap_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="the program bwrap is not installed"):
        async with Sandbox.open(isolations=[Isolation.BUBBLEWRAP]):
            pass


LEAKING = """
import os, sys, threading
kept = []
def f():
    kept.append((bytearray(1 << 20), os.pipe()))
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    was_there = "leaked" in sys.modules
    sys.modules["leaked"] = sys
    return [len(kept), was_there, threading.active_count()]
"""


@pytest.mark.timeout(300)
async def test_a_thousand_calls_that_leak_leave_nothing_and_see_nothing_of_each_other(sandbox: Sandbox) -> None:
    await call(sandbox, LEAKING)
    processes, ours = zygotes(sandbox), descriptors(os.getpid())
    theirs = [descriptors(process) for process in sorted(processes)]
    held = sum(map(anonymous_bytes, processes))
    for _ in range(40):
        outcomes = await asyncio.gather(*(call(sandbox, LEAKING) for _ in range(25)))
        assert [result(outcome) for outcome in outcomes] == [[1, False, 2]] * 25
    assert zygotes(sandbox) == processes
    assert (descriptors(os.getpid()), [descriptors(process) for process in sorted(processes)]) == (ours, theirs)
    assert sum(map(anonymous_bytes, processes)) - held < MIB
