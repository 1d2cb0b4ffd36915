"""Runs every benchmark, prints one table and keeps it: ``python -m benchmarks [NAME …]``.

Only a run of all is kept, in docs/benchmarks.md.
"""

import importlib
import sys
from pathlib import Path

from benchmarks.rows import Row, machine, table

ALL = ("queue", "storage", "api", "relay", "engine", "survival", "idle")
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
MARK = "<!-- what follows is written by python -m benchmarks -->"


def main() -> None:
    """Run those named, else all."""
    names = sys.argv[1:] or ALL
    rows: list[Row] = []
    for name in names:
        rows += importlib.import_module(f"benchmarks.{name}").rows()
        print(table(rows), flush=True)  # noqa: T201 - its answer, as it grows
    if tuple(names) == ALL:
        head = PAGE.read_text(encoding="utf-8").partition(MARK)[0] if PAGE.exists() else ""
        PAGE.write_text(f"{head}{MARK}\n\nMeasured on {machine()}, by `make bench`.\n\n{table(rows)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
