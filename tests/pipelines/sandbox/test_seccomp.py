"""The filter's program, run by a machine of the test's own: for both processors, and for calls that nothing here would make."""

import struct

import pytest

from pipelines.sandbox.inside.seccomp import Filter
from pipelines.sandbox.inside.syscalls import MACHINES, TABLE, Action, numbers

ALLOW, REFUSE, MISSING, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PROCESS = 77


def verdict(
    machine: str, number: int, *arguments: int, private_files: bool = True, architecture: int | None = None, outward: bool = False
) -> int:
    """What the kernel would do with a call."""
    program = Filter(private_files=private_files, machine=machine).program(PROCESS, outward=outward)
    seen = struct.pack("=IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    place = accumulator = 0
    while True:
        code, then, otherwise, value = struct.unpack_from("=HBBI", program, place * 8)
        place += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            accumulator = struct.unpack_from("=I", seen, value)[0]
        elif code == 0x54:
            accumulator &= value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            place += then if holds else otherwise


def of(machine: str, name: str, *arguments: int, outward: bool = False) -> int:
    return verdict(machine, numbers(machine)[name][0], *arguments, outward=outward)


@pytest.mark.parametrize("machine", MACHINES)
def test_each_call_of_the_table_gets_its_verdict(machine: str) -> None:
    expected = {Action.ALLOW: ALLOW, Action.PRIVATE: ALLOW, Action.MISSING: MISSING, Action.KILL: KILL, Action.OUTWARD: REFUSE}
    for name, (number, action) in numbers(machine).items():
        if action != Action.CHECK:
            assert verdict(machine, number) == expected[action], name


@pytest.mark.parametrize("machine", MACHINES)
def test_files_are_changed_only_where_they_are_the_childs_own(machine: str) -> None:
    for name, (number, action) in numbers(machine).items():
        if action == Action.PRIVATE:
            assert verdict(machine, number, private_files=False) == REFUSE, name


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_is_in_the_table_twice(machine: str) -> None:
    known = [number for number, _ in numbers(machine).values()]
    assert len(known) == len(set(known))
    names = [line.split()[0] for lines in TABLE.values() for line in lines.strip().splitlines()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_in_no_row_is_refused_and_what_is_newer_does_not_exist(machine: str) -> None:
    known = {number for number, _ in numbers(machine).values()}
    assert {verdict(machine, number) for number in range(463) if number not in known} == {REFUSE}
    assert verdict(machine, 463) == MISSING


def test_other_architectures_are_ended() -> None:
    assert verdict("x86_64", 0, architecture=0x40000003) == KILL
    assert verdict("x86_64", 0x40000000) == KILL
    assert verdict("aarch64", 63, architecture=ARCHITECTURES["x86_64"]) == KILL
    with pytest.raises(OSError, match="not those of riscv64"):
        Filter(private_files=True, machine="riscv64")


THREAD = 0x3D0F00


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (THREAD,), ALLOW),
        ("clone", (17,), REFUSE),
        ("clone", (0x4111,), REFUSE),
        *(("clone", (THREAD | bit,), KILL) for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)),
        ("socketpair", (1, 1), ALLOW),
        ("socketpair", (1, 1 | 0o2004000), ALLOW),
        ("socketpair", (1, 2), REFUSE),
        ("socketpair", (1, 5), REFUSE),
        ("socketpair", (2, 1), REFUSE),
        ("sendto", (3, 0, 0, 0, 0), ALLOW),
        ("sendto", (3, 0, 0, 0, 1), REFUSE),
        ("sendto", (3, 0, 0, 0, 1 << 32), REFUSE),
        ("fcntl", (3, 4), ALLOW),
        ("fcntl", (3, 8), REFUSE),
        ("fcntl", (3, 1024), REFUSE),
        ("ioctl", (1, 0x5401), ALLOW),
        ("ioctl", (1, 0x5412), KILL),
        ("ioctl", (1, 0x5412 | 1 << 32), KILL),
        ("ioctl", (1, 0x541C), KILL),
        ("ioctl", (1, 0x8901), REFUSE),
        ("prctl", (15,), ALLOW),
        ("prctl", (22,), REFUSE),
        ("prlimit64", (0,), ALLOW),
        ("prlimit64", (1,), REFUSE),
        ("kill", (PROCESS,), ALLOW),
        ("kill", (0,), REFUSE),
        ("kill", (0xFFFFFFFF,), REFUSE),
        ("tgkill", (PROCESS, 5), ALLOW),
        ("tgkill", (1, 1), REFUSE),
    ],
)
def test_arguments_decide(machine: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    assert of(machine, name, *arguments) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_that_may_reach_hosts_has_the_same_filter_behind_three_checks(machine: str) -> None:
    known = Filter(private_files=True, machine=machine)
    plain, outward = known.program(PROCESS), known.program(PROCESS, outward=True)
    more = len(outward) - len(plain)
    same = next(place for place in range(0, len(plain), 8) if plain[place:] == outward[place + more :])
    assert outward[:same] == plain[:same]
    outwards = {number for number, action in numbers(machine).values() if action == Action.OUTWARD}
    assert {number for number in range(464) if verdict(machine, number) != verdict(machine, number, outward=True)} <= outwards
    assert len(outwards) == 3


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("socket", (2, 1), ALLOW),
        ("socket", (2, 1 | 0o2004000, 6), ALLOW),
        ("socket", (2, 2), REFUSE),
        ("socket", (2, 3, 1), REFUSE),
        ("socket", (2, 5), REFUSE),
        ("socket", (2, 1, 132), REFUSE),
        ("socket", (2, 1, 262), REFUSE),
        *(("socket", (family, 1), REFUSE) for family in (1, 10, 16, 17, 38, 40, 43, 44)),
        ("connect", (3,), ALLOW),
        ("setsockopt", (3, 6, 1), ALLOW),
        ("setsockopt", (3, 1, 9), ALLOW),
        ("setsockopt", (3, 1, 26), REFUSE),
        ("setsockopt", (3, 1, 25), REFUSE),
        ("setsockopt", (3, 6, 19), REFUSE),
        ("setsockopt", (3, 6, 31), REFUSE),
        ("setsockopt", (3, 0, 1), REFUSE),
        ("setsockopt", (3, 0, 64), REFUSE),
        ("sendto", (3, 0, 0, 0, 1), REFUSE),
    ],
)
def test_a_call_that_may_reach_hosts_may_connect_by_tcp_and_no_more(
    machine: str, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    assert of(machine, name, *arguments, outward=True) == expected
    assert of(machine, name, *arguments) == REFUSE
