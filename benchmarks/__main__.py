"""Runs benchmarks and prints their tables row by row: ``python -m benchmarks [NAME …] [--before CHECKOUT]``.

All where none is named, but for one that compares with another product, which it fetches.

What each measured is kept in docs/benchmarks.md, with the machine and the date. Some compare with another build: they need its checkout.
"""

import argparse
import asyncio
import importlib
from pathlib import Path

from benchmarks.checkouts import Checkout
from benchmarks.rows import Row, machine, show, table

ALONE = (
    "storage",
    "api",
    "relay",
    "engine",
    "exactness",
    "quality",
    "llama_cpp",
    "shares",
    "survival",
    "idle",
    "ingestion",
    "keywords",
    "bfloat16",
    "parsing",
    "retrieval",
    "functions",
)
NAMED = ("open_webui",)  # only where they are named: what they compare with is gigabytes
COMPARED = ("before", "jobs", "vectors", "worker")
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main() -> None:
    """Run those named, else all that can be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, and write docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*ALONE, *NAMED, *COMPARED)))
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help=f"another build to compare with; needed by {', '.join(COMPARED)}")
    given = parser.parse_args()
    before = given.before and Checkout.at(given.before)
    names = given.names or (*ALONE, *(COMPARED if before else ()))
    unknown = [name for name in names if name not in (*ALONE, *NAMED, *COMPARED)]
    if unknown or (before is None and set(names) & set(COMPARED)):
        parser.error(f"there is no {unknown[0]}" if unknown else f"--before is needed by {', '.join(COMPARED)}")
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        rows = asyncio.run(show(module.measure(before) if name in COMPARED else module.measure()))
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
