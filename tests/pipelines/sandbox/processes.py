"""The processes of a sandbox, and what they have open."""

from pathlib import Path

from pipelines.sandbox.sandbox import Sandbox
from tests.workers.process_ids import gone


def below(process: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def zygotes(sandbox: Sandbox) -> set[int]:
    return below(sandbox._zygote.process.pid) | {sandbox._zygote.process.pid}


def descriptors(process: int) -> int:
    """How many it has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def anonymous_bytes(process: int) -> int:
    """What it holds in memory that is no file's."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def all_gone(processes: set[int]) -> bool:
    """Whether none of them lives."""
    return all(map(gone, processes))
