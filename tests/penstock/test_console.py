"""What is said reaches whoever reads; whoever does not, holds up nobody."""

import os
from concurrent.futures import ThreadPoolExecutor

from penstock.console import Console


def test_what_was_said_is_there_when_the_block_is_left() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, Console(stream) as console:
        console.say("redis", "ready")
        console.say("", "Stopped.")
    lines = read_to_the_end(reader)
    assert [line[8:] for line in lines] == ["  redis  ready", "  Stopped."]


def test_lines_that_nobody_reads_are_left_out_and_counted() -> None:
    reader, writer = os.pipe()
    with ThreadPoolExecutor(1) as somebody:
        with os.fdopen(writer, "w") as stream, Console(stream, max_unread_bytes=10_000) as console:
            for number in range(20_000):
                console.say("api", f"line {number}")
            reading = somebody.submit(read_to_the_end, reader)
        lines = reading.result()
    expected = 0
    for line in lines:
        if "left out" in line:
            expected += int(line.split()[1])
        else:
            assert line.endswith(f" line {expected}")
            expected += 1
    assert len(lines) < expected == 20_000


def test_a_reader_that_has_gone_is_not_missed() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, Console(stream) as console:
        console.say("api", "ready")


def read_to_the_end(reader: int) -> list[str]:
    with os.fdopen(reader, encoding="utf-8") as stream:
        return stream.read().splitlines()
