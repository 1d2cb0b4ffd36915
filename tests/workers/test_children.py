"""One test per claim about children: what a call may cost, and whom. Real processes; what they do is in ``heavy``."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.errors import GaveTooMuch, TookTooLong, TookTooMuchMemory, Unavailable, WorkCrashed, WorkFailed, WorkRaised
from tests.conftest import ROOT
from tests.polling import until
from tests.workers.process_ids import gone, told
from workers import children as children_module
from workers.children import Children, Limits

LIMITS = Limits(seconds=60, memory_bytes=512 << 20, output_bytes=1 << 20)
SHORT = replace(LIMITS, seconds=1)
LARGE = 8 << 20


@pytest.fixture
async def one() -> AsyncIterator[Children]:
    """One child at a time."""
    async with Children(LIMITS, 1) as children:
        yield children


@pytest.fixture
async def many() -> AsyncIterator[Children]:
    """Some at a time."""
    async with Children(LIMITS, 9) as children:
        yield children


def heavy(name: str) -> str:
    return f"tests.workers.heavy:{name}"


async def child_of(children: Children) -> int:
    """The id of the child that is called next."""
    return int(await children.run(heavy("process_id"), b""))


async def test_a_function_gives_its_result(one: Children) -> None:
    assert await one.run(heavy("reverse"), b"abc") == b"cba"
    assert await one.run(heavy("reverse"), b"") == b""


async def test_payloads_and_results_may_be_larger_than_pipes_hold(one: Children) -> None:
    payload = os.urandom(LARGE)
    assert await one.run(heavy("digest"), payload) == hashlib.sha256(payload).hexdigest().encode()
    assert await one.run(heavy("give"), b"1048576") == bytes(1_048_576)


async def test_a_child_is_called_again_and_again(one: Children) -> None:
    first = await child_of(one)
    assert first != os.getpid()
    assert await child_of(one) == first


async def test_a_child_that_has_had_its_calls_is_replaced() -> None:
    async with Children(replace(LIMITS, calls=2), 1) as children:
        ids = [await child_of(children) for _ in range(4)]
        assert (ids[0], ids[2]) == (ids[1], ids[3])
        assert ids[1] != ids[2]
        await until(lambda: gone(ids[0]), "the replaced child has ended")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (heavy("refuse"), "ValueError: page 3 is upside down"),
        (heavy("leave"), "SystemExit: page 3 is upside down"),
        (heavy("give_text"), f"{heavy('give_text')} gave str, not bytes"),
        ("tests.workers.no_such_module:f", "ModuleNotFoundError: No module named 'tests.workers.no_such_module'"),
        (heavy("no_such_function"), "AttributeError: module 'tests.workers.heavy' has no attribute 'no_such_function'"),
    ],
)
async def test_what_a_function_raises_is_told_and_its_child_goes_on(one: Children, function: str, words: str) -> None:
    child = await child_of(one)
    with pytest.raises(WorkRaised) as caught:
        await one.run(function, b"page 3 is upside down")
    assert caught.value.detail == words
    assert await child_of(one) == child


async def test_what_a_function_raises_is_told_in_part_where_it_is_long(one: Children) -> None:
    with pytest.raises(WorkRaised) as caught:
        await one.run(heavy("refuse"), "€".encode() * 100_000)
    assert caught.value.detail == f"ValueError: {'€' * 488}"


async def test_an_endless_loop_ends_at_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "id"
    async with Children(SHORT, 1) as children:
        with pytest.raises(TookTooLong, match="longer than 1 seconds"):
            await children.run(heavy("spin"), str(file).encode())
        pid = await until(lambda: told(file), "it had begun")
        await until(lambda: gone(pid), "the child has ended")
        assert await children.run(heavy("reverse"), b"abc") == b"cba"


async def test_memory_ends_at_its_limit(one: Children) -> None:
    child = await child_of(one)
    with pytest.raises(TookTooMuchMemory, match="more than 512 MiB"):
        await one.run(heavy("eat"), b"")
    await until(lambda: gone(child), "its child has ended")
    assert await one.run(heavy("reverse"), b"abc") == b"cba"


async def test_a_payload_for_which_there_is_no_memory_is_one_more_thing_that_takes_too_much() -> None:
    async with Children(replace(LIMITS, memory_bytes=128 << 20), 1) as children:
        with pytest.raises(TookTooMuchMemory):
            await children.run(heavy("digest"), bytes(128 << 20))
        assert await children.run(heavy("reverse"), b"abc") == b"cba"


async def test_a_child_that_the_system_kills_took_too_much_memory(one: Children) -> None:
    with pytest.raises(TookTooMuchMemory, match="no memory left"):
        await one.run(heavy("kill_itself"), b"%d" % signal.SIGKILL)


async def test_a_call_whose_child_somebody_kills_is_done_again(one: Children, tmp_path: Path) -> None:
    assert await one.run(heavy("kill_itself_once"), str(tmp_path / "file").encode()) == b"done"


@pytest.mark.parametrize(
    ("function", "payload", "how"),
    [
        ("abort", b"", "SIGABRT"),
        ("read_nowhere", b"", "SIGSEGV"),
        ("kill_itself", b"%d" % signal.SIGTERM, "SIGTERM"),
        ("kill_itself", b"%d" % (signal.SIGRTMIN + 1), f"signal {signal.SIGRTMIN + 1}"),
        ("end_at_once", b"0", "exit code 0"),
        ("end_at_once", b"7", "exit code 7"),
    ],
)
async def test_a_crash_is_told_with_how_it_ended(one: Children, function: str, payload: bytes, how: str) -> None:
    with pytest.raises(WorkCrashed) as caught:
        await one.run(heavy(function), payload)
    assert f"({how})" in caught.value.detail
    assert await one.run(heavy("reverse"), b"abc") == b"cba"


async def test_a_result_that_is_too_large_is_not_read(one: Children) -> None:
    child = await child_of(one)
    with pytest.raises(GaveTooMuch, match="larger than 1048576 bytes"):
        await one.run(heavy("give"), b"1048577")
    await until(lambda: gone(child), "its child has ended")
    assert await one.run(heavy("reverse"), b"abc") == b"cba"


async def test_what_a_child_says_on_its_connection_is_not_trusted(one: Children) -> None:
    for nonsense in (b"x" * 9, b"e" + b"\xff" * 8, b"r" + b"\xff" * 8, b"?" + bytes(8)):
        with pytest.raises(WorkFailed):
            await one.run(heavy("talk_nonsense"), nonsense)
    assert await one.run(heavy("reverse"), b"abc") == b"cba"


async def test_a_child_that_hangs_up_and_lives_on_is_ended(one: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.child_process.DYING_S", 0.1)
    file = tmp_path / "id"
    with pytest.raises(WorkCrashed, match="closed the connection"):
        await one.run(heavy("close_everything"), str(file).encode())
    pid = await until(lambda: told(file), "it has told its id")
    await until(lambda: gone(pid), "it has ended")


async def test_a_child_finds_no_file_of_ours_and_only_the_environment_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_KEY", "not for children")
    with (tmp_path / "open").open("wb") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - the library's own signature
        async with Children(LIMITS, 2, {"OMP_NUM_THREADS": "1"}) as children:
            both = await asyncio.gather(*(children.run(heavy("surroundings"), b"") for _ in range(2)))
    for found in map(json.loads, both):
        assert found["environment"].pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # the interpreter's own, where no locale is named
        assert found["environment"] == {"OMP_NUM_THREADS": "1"}
        assert found["input"] == ""
        kinds = sorted(name.partition(":")[0] for name in found["files"])
        assert kinds == ["/dev/null", "pipe", "pipe", "socket", "socket"]
        assert len({name for name in found["files"] if name.startswith("socket")}) == 1


async def test_what_a_child_prints_is_logged_in_part_and_holds_nobody_up(one: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(children_module.log, "info", lambda event, **more: lines.append({"event": event, **more}))
    assert await one.run(heavy("chatter"), b"abc") == b"abc"
    assert await one.run(heavy("reverse"), b"abc") == b"cba"
    with pytest.raises(WorkCrashed):
        await one.run(heavy("abort"), b"")
    first, last = lines
    assert first["function"] == heavy("chatter")
    assert str(first["said"]).endswith("x\nthe end")
    assert 4_096 < len(str(first["said"])) <= 8_192
    assert str(last["said"]).startswith("about to abort\nFatal Python error: Aborted")
    assert "in abort" in str(last["said"])


async def test_cancelling_ends_the_child_with_all_that_it_has_started(one: Children, tmp_path: Path) -> None:
    file, child = tmp_path / "id", await child_of(one)
    call = asyncio.create_task(one.run(heavy("spin_with_another"), str(file).encode()))
    pid = await until(lambda: told(file), "it has started another")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: gone(child) and gone(pid), "both have ended")
    assert await one.run(heavy("reverse"), b"abc") == b"cba"


async def test_what_a_crashed_child_leaves_behind_ends_with_it(one: Children, tmp_path: Path) -> None:
    file = tmp_path / "id"
    with pytest.raises(WorkCrashed, match=r"\(exit code 3\)"):
        await one.run(heavy("end_and_leave_another"), str(file).encode())
    pid = await until(lambda: told(file), "it had started another")
    await until(lambda: gone(pid), "what it had started has ended")


async def test_leaving_ends_all_children(tmp_path: Path) -> None:
    file = tmp_path / "id"
    async with Children(LIMITS, 2) as children:
        busy = asyncio.create_task(children.run(heavy("spin"), str(file).encode()))
        pid = await until(lambda: told(file), "one is busy")
        idle = await child_of(children)
    assert gone(pid)
    assert gone(idle)
    with pytest.raises(Unavailable, match="stopping"):
        await busy
    with pytest.raises(Unavailable, match="stopping"):
        await children.run(heavy("reverse"), b"abc")


async def test_a_child_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    file = tmp_path / "id"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.workers.child_owner", str(file), cwd=ROOT)
    try:
        pid = await until(lambda: told(file), "its child is busy")
        parent.kill()
        await until(lambda: gone(pid), "its child has ended")
    finally:
        with suppress(ProcessLookupError):
            parent.kill()
        await parent.wait()


async def test_a_child_that_died_while_it_waited_costs_no_call(one: Children) -> None:
    for _ in range(5):
        child = await child_of(one)
        os.kill(child, signal.SIGKILL)
        assert await one.run(heavy("reverse"), b"abc") == b"cba"


async def test_a_crash_beside_eight_others_costs_only_itself(many: Children, tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(8)]
    others = [asyncio.create_task(many.run(heavy("spin_until_told"), str(file).encode())) for file in files]
    for _ in range(3):
        with pytest.raises(WorkCrashed):
            await many.run(heavy("read_nowhere"), b"")
    assert not any(other.done() for other in others)
    for file in files:
        file.touch()
    assert all(int(spun) >= 0 for spun in await asyncio.gather(*others))


async def test_no_more_children_than_there_are_places(tmp_path: Path) -> None:
    async with Children(LIMITS, 2) as children:
        ids = await asyncio.gather(*(child_of(children) for _ in range(8)))
        assert len(set(ids)) == 2
        file = tmp_path / "id"
        spinning = [asyncio.create_task(children.run(heavy("spin"), str(file).encode())) for _ in range(2)]
        await until(lambda: told(file), "one is busy")
        third = asyncio.create_task(child_of(children))
        await asyncio.sleep(0)
        assert not third.done()
        spinning[0].cancel()
        assert await third not in ids
        spinning[1].cancel()
        await asyncio.gather(*spinning, return_exceptions=True)
