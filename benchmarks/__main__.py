"""Runs benchmarks and prints their tables row by row: ``python -m benchmarks [NAME …]``, all where none is named.

What each measured is kept in docs/benchmarks.md, with the machine and the date.
"""

import asyncio
import importlib
import sys
from pathlib import Path

from benchmarks.rows import Row, machine, show, table

ALL = ("queue", "storage", "api", "relay", "engine", "survival", "idle")
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main() -> None:
    """Run those named, else all."""
    for name in sys.argv[1:] or ALL:
        module = importlib.import_module(f"benchmarks.{name}")
        rows = asyncio.run(show(module.measure()))
        _keep(name, (module.__doc__ or "").strip(), rows)


def _keep(name: str, about: str, rows: list[Row]) -> None:
    """Replace the benchmark's section of the page."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{begin}\n## {name}\n\n{about}\n\n{table(rows)}\n\n{machine()}.\n{end}"
    page = PAGE.read_text(encoding="utf-8")
    before, found, rest = page.partition(begin)
    PAGE.write_text(f"{before}{section}{rest.partition(end)[2]}" if found else f"{page.rstrip()}\n\n{section}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
