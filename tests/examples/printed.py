"""What quick_reference.md prints: its blocks by heading, and whether something has the shape that was printed."""

from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parent / "quick_reference.md"
HOST = "http://localhost:8080"
FENCE = "```"


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


class Call(NamedTuple):
    """An ``http`` block."""

    method: str
    path: str
    headers: dict[str, str]
    body: str

    @classmethod
    def of(cls, text: str) -> "Call":
        head, _, body = text.partition("\n\n")
        line, *fields = head.splitlines()
        method, path = line.split()
        return cls(method, path, dict(field.split(": ", 1) for field in fields), body)


def _blocks() -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    heading, language, fenced, lines = "", "", False, list[str]()
    for line in PAGE.read_text().splitlines():
        if line.startswith(FENCE):
            if fenced:
                found.setdefault(heading, []).append(Block(language, "\n".join(lines)))
            fenced, language, lines = not fenced, line.removeprefix(FENCE), []
        elif fenced:
            lines.append(line)
        elif line.startswith("### "):
            heading = line.removeprefix("### ")
    return found


PRINTED = _blocks()
CALLS = {heading: Call.of(blocks[0].text) for heading, blocks in PRINTED.items() if blocks[0].language == "http"}


def assert_holds(got: Any, printed: Any, where: str = "") -> None:
    """Everything printed is there, with the JSON type that was printed; there may be more."""
    assert type(got) is type(printed), f"{where or 'the answer'} is {got!r}; printed was {printed!r}"
    if isinstance(printed, dict):
        for name, value in printed.items():
            assert name in got, f"{where}.{name} is missing in {got!r}"
            assert_holds(got[name], value, f"{where}.{name}")
    elif isinstance(printed, list) and printed:
        assert got, f"{where} is empty"
        for index, value in enumerate(got):
            assert_holds(value, printed[min(index, len(printed) - 1)], f"{where}[{index}]")
