"""All cores while nobody else uses them: told by what the kernel counts, of which a written file stands in here."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpu import cores
from gpu.cores import LOOK_S, Cores

TICKS = os.sysconf("SC_CLK_TCK")
LATER_S = 10 * LOOK_S


class Machine:
    """A machine's clocks, and its /proc/stat. Cores 0 and 1 are this process's."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._now_s = self._own_s = 1000.0
        self._busy_s = {"cpu0": 70.0, "cpu1": 50.0, "cpu2": 9000.0}
        self.passes()

    def passes(self, *, own_s: float = 0, others_s: float = 0, elsewhere_s: float = 0) -> None:
        """Some time, of which this process, others on its cores, and others on another core use so much."""
        self._now_s += LATER_S
        self._own_s += own_s
        self._busy_s["cpu0"] += own_s
        self._busy_s["cpu1"] += others_s
        self._busy_s["cpu2"] += elsewhere_s
        used = {name: round(seconds * TICKS) for name, seconds in self._busy_s.items()}
        idle = round(self._now_s * TICKS)
        rows = [f"{name} {busy - 5} 1 2 {idle} {idle} 1 1 0 {busy} 0" for name, busy in [("cpu", sum(used.values())), *used.items()]]
        self._file.write_text("\n".join([*rows, "intr 1 2 3", "ctxt 4", ""]))

    @property
    def clocks(self) -> SimpleNamespace:
        return SimpleNamespace(monotonic=lambda: self._now_s, process_time=lambda: self._own_s)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path / "stat")
    monkeypatch.setattr(cores, "STATISTICS", tmp_path / "stat")
    monkeypatch.setattr(cores, "time", made.clocks)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    return made


def after(machine: Machine, policy: Cores, **used: float) -> int:
    """The number of threads when some time has passed."""
    machine.passes(**used)
    return policy.threads()


def test_all_cores_are_used_while_nobody_else_uses_them(machine: Machine) -> None:
    policy = Cores(least=1, most=2)
    assert policy.threads() == 1, "nothing is known yet"
    assert after(machine, policy) == 2
    assert after(machine, policy, others_s=0.2 * LATER_S) == 2, "a little is not in the way"


def test_one_core_is_left_to_others_as_long_as_they_need_it(machine: Machine) -> None:
    policy = Cores(least=1, most=2)
    policy.threads()
    assert [after(machine, policy, others_s=share * LATER_S) for share in (0.9, 0.3, 0, 0.5, 0)] == [1, 1, 2, 1, 2]


def test_what_this_process_uses_is_not_in_its_own_way(machine: Machine) -> None:
    policy = Cores(least=1, most=2)
    policy.threads()
    assert after(machine, policy, own_s=LATER_S) == 2
    assert after(machine, policy, own_s=LATER_S, others_s=LATER_S) == 1


def test_cores_that_it_may_not_use_do_not_count(machine: Machine) -> None:
    policy = Cores(least=1, most=2)
    policy.threads()
    assert after(machine, policy, elsewhere_s=LATER_S) == 2


def test_between_two_looks_nothing_changes(machine: Machine, tmp_path: Path) -> None:
    policy = Cores(least=1, most=2)
    policy.threads()
    assert after(machine, policy) == 2
    (tmp_path / "stat").unlink()
    assert policy.threads() == 2, "and no file is read for every step"


def test_with_one_core_there_is_nothing_to_look_at(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "stat").write_bytes(b"\xff")  # which is not even read
    policy = Cores(least=1, most=1)
    assert [after_nothing(machine, policy) for _ in range(3)] == [1, 1, 1]


def after_nothing(machine: Machine, policy: Cores) -> int:
    machine._now_s += LATER_S
    return policy.threads()


def test_where_the_kernel_does_not_tell_one_core_is_left_to_others(machine: Machine, tmp_path: Path) -> None:
    policy = Cores(least=3, most=4)
    (tmp_path / "stat").unlink()
    assert policy.threads() == 3
    for _ in range(3):
        assert after_nothing(machine, policy) == 3
