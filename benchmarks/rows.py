"""A figure, and the table of figures."""

import datetime as dt
import platform
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import msgspec

from tests.machine import describe

HEAD = "| what | measured | bound | kept | compared |\n|---|---|---|---|---|"


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

    @property
    def line(self) -> str:
        """As a line of a Markdown table."""
        bound = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}" if self.at_most is not None else ""
        kept = ("yes" if self.ok else "**no**") if bound else ""
        measured = f"{self.measured:.3g}" if abs(self.measured) < 1000 else f"{self.measured:.0f}"
        return f"| {self.what} | {measured} {self.unit} | {bound} {self.unit if bound else ''} | {kept} | {self.note} |"


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    return "\n".join((HEAD, *(row.line for row in rows)))


async def show(measured: AsyncGenerator[Row, None]) -> list[Row]:
    """Print the same table, each row as soon as it is measured; the rows."""
    found = []
    print(HEAD, flush=True)  # noqa: T201 - its answer
    async with aclosing(measured) as rows:
        async for row in rows:
            print(row.line, flush=True)  # noqa: T201 - its answer
            found.append(row)
    return found


def machine() -> str:
    """What the figures were measured on, and when."""
    processor = describe()[0].removeprefix("processor: ")
    now = dt.datetime.now(tz=dt.UTC)
    return f"{processor}, Python {platform.python_version()}, {now:%Y-%m-%d %H:%M} UTC"
