"""How far a sync is, and how its reader sees that: a line that changes on a terminal, or lines from time to time."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

LIVE_S = 0.25
LINE_S = 5.0
SHOWN_FAILURES = 3
MINUTE_S, HOUR_S = 60, 3_600


class Progress(msgspec.Struct, kw_only=True):
    """Counts of files, unless they say otherwise. ``wanted``: to be sent or tried again; ``sent``, ``ready`` and ``failed``: of these.

    ``failures``: by path, the reason; ``waiting``: why nothing goes on now; ``began``: on the monotonic clock, when the first was sent.
    """

    step: str = "looking"
    total: int = 0
    unchanged: int = 0
    wanted: int = 0
    sent: int = 0
    ready: int = 0
    failed: int = 0
    pruned: int = 0
    chunks: int = 0
    pages: int = 0
    failures: dict[str, str] = {}
    waiting: str = ""
    began: float | None = None

    @property
    def done(self) -> int:
        """Those of ``wanted`` that nothing more is done about."""
        return min(self.wanted, self.ready + max(self.failed, len(self.failures)))

    def rate(self) -> float:
        """Files a second, so far."""
        return self.done / max(0.001, time.monotonic() - self.began) if self.began else 0.0

    def left_s(self) -> float | None:
        """Seconds until the end, where that can be guessed."""
        rate = self.rate()
        return (self.wanted - self.done) / rate if rate and self.done < self.wanted else None

    def line(self) -> str:
        """All of it in one line."""
        said = [self.step, f"{self.done} of {self.wanted} files", f"{self.sent} sent"]
        said += [f"{self.unchanged} unchanged", f"{self.pages} pages", f"{self.chunks} chunks", f"{self.rate():.1f} files/s"]
        left_s, failed = self.left_s(), max(self.failed, len(self.failures))
        said += [f"{duration(left_s)} left"] if left_s is not None else []
        said += [f"{failed} failed"] if failed else []
        return ", ".join(said) + (f". {self.waiting}" if self.waiting else "")


def duration(seconds: float) -> str:
    """In words that are short."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


@asynccontextmanager
async def shown(progress: Progress, console: Console) -> AsyncGenerator[None, None]:
    """Show it while the block runs."""
    show = _live if console.is_terminal else _lines
    task = asyncio.create_task(show(progress, console))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _live(progress: Progress, console: Console) -> None:
    with Live(_table(progress), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(LIVE_S)
            live.update(_table(progress), refresh=True)


async def _lines(progress: Progress, console: Console) -> None:
    said, at = "", time.monotonic()
    while True:
        if progress.step != said or time.monotonic() - at >= LINE_S:
            said, at = progress.step, time.monotonic()
            console.print(progress.line(), soft_wrap=True, markup=False, highlight=False)
        await asyncio.sleep(LIVE_S)


def _table(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(progress.line()))
    table.add_row(ProgressBar(total=max(1, progress.wanted), completed=progress.done, width=60))
    for path, why in list(progress.failures.items())[-SHOWN_FAILURES:]:
        table.add_row(Text(f"failed: {path}: {why}", style="red", overflow="ellipsis", no_wrap=True))
    return table
