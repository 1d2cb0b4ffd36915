"""A figure, and the table of figures."""

import datetime as dt
import os
import platform
from collections.abc import Iterable

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure with its bound: ``at_least`` or ``at_most``, in ``unit`` (empty: a ratio).

    ``note``: the two things compared, as measured.
    """

    what: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the bound is kept."""
        return (self.at_least is None or self.measured >= self.at_least) and (self.at_most is None or self.measured <= self.at_most)


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | measured | bound | kept | compared |", "|---|---|---|---|---|"]
    for row in rows:
        bound = f"≥ {row.at_least:g}" if row.at_least is not None else f"≤ {row.at_most:g}" if row.at_most is not None else ""
        kept = ("yes" if row.ok else "**no**") if bound else ""
        lines.append(f"| {row.what} | {row.measured:.3g} {row.unit} | {bound} {row.unit if bound else ''} | {kept} | {row.note} |")
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on, and when."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a kernel file
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    now = dt.datetime.now(tz=dt.UTC)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {now:%Y-%m-%d %H:%M} UTC"
