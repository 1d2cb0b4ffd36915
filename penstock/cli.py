"""The ``penstock`` command.

Each command imports what it is made of when it is called: all of it together takes seconds.
"""

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from core import settings as settings_module
from core.errors import PenstockError
from core.models.pools import Pool
from penstock import __version__

CANNOT_USE = 2

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="An Open WebUI-compatible backend whose heavy work runs on worker pools. Settings: docs/settings.md.",
)

DataDir = Annotated[Path | None, typer.Option(help="The folder that holds everything (PENSTOCK_DATA_DIR).")]
Host = Annotated[str | None, typer.Option(help="The address to listen on (PENSTOCK_HOST); 0.0.0.0 opens it to the network.")]
Port = Annotated[int | None, typer.Option(help="The port to listen on (PENSTOCK_PORT).")]


def main() -> None:
    """Run a command. What its caller must set right is one line on standard error, and exit code 2."""
    try:
        app()
    except PenstockError as error:
        _fail(error.detail)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")


@app.callback()
def penstock(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda wanted: _version(wanted=wanted), help="Say which version this is.")
    ] = False,
) -> None:
    """Only its options."""


@app.command()
def up(
    port: Port = None,
    data_dir: DataDir = None,
    host: Host = None,
    *,
    verbose: Annotated[bool, typer.Option(help="Show every log line.")] = False,
) -> None:
    """Start everything on this machine: Redis, the web process, one worker of each pool. Ctrl-C stops it."""
    from penstock import up as up_module
    from penstock.console import Console

    settings = settings_module.load({"port": port, "data_dir": data_dir, "host": host})
    with Console() as console:
        up_module.up(settings, console, verbose=verbose)


@app.command()
def api(port: Port = None, host: Host = None, data_dir: DataDir = None) -> None:
    """Start web processes (PENSTOCK_API_PROCESSES of them) on a Redis that runs already."""
    from penstock import standalone
    from penstock.console import Console

    settings = settings_module.load({"port": port, "host": host, "data_dir": data_dir})
    with Console(sys.stderr) as console:
        standalone.api(settings, console)


@app.command()
def worker(pool: Annotated[Pool, typer.Argument(help="Which work it takes.")], data_dir: DataDir = None) -> None:
    """Start a worker of a pool on a Redis that runs already. Start more, here or on other machines, to scale the pool."""
    from penstock import standalone
    from penstock.console import Console

    settings = settings_module.load({"data_dir": data_dir})
    with Console(sys.stderr) as console:
        standalone.worker(pool, settings, console)


@app.command()
def status(
    data_dir: DataDir = None,
    *,
    here: Annotated[bool, typer.Option(help="Only this host's workers; exit code 1 where none lives.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show the live workers, what waits for them, how full Redis is, and what of this machine's `penstock up` fails."""
    from penstock import status as status_module

    text, alive = status_module.status(settings_module.load({"data_dir": data_dir}), here=here, as_json=as_json)
    sys.stdout.write(text)
    raise typer.Exit(0 if alive or not here else 1)


@app.command()
def drain(
    pid: Annotated[int, typer.Argument(help="The worker's process id, as `penstock status` shows it.")],
    host: Annotated[str, typer.Option(help="Its host, as `penstock status` shows it; this one where none is named.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Have one worker take nothing more, hand back or finish what it has, and leave for good. Exit code 1 where that takes too long."""
    from penstock import drain as drain_module

    settings = settings_module.load({"data_dir": data_dir})
    gone = drain_module.drain(settings, pid, host or socket.gethostname(), lambda line: sys.stdout.write(f"{line}\n"))
    raise typer.Exit(0 if gone else 1)


@app.command()
def ingest(  # noqa: PLR0913, PLR0917 - its options
    paths: Annotated[list[Path], typer.Argument(help="Folders, and files.", metavar="PATH...", show_default=False)],
    knowledge: Annotated[str, typer.Option(help="The knowledge base's name, or its id; it is made where there is none.")],
    server: Annotated[str, typer.Option(help="The server's address; this data folder's `penstock up` where none is named.")] = "",
    api_key: Annotated[str, typer.Option(envvar="PENSTOCK_API_KEY", show_envvar=True, help="Whose files they become.")] = "",
    include: Annotated[list[str] | None, typer.Option(help="Only these, such as '*.md'; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Neither these nor folders of these; may be repeated.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write what became of each run into this file, as JSON.")] = None,
    data_dir: DataDir = None,
    *,
    hidden: Annotated[bool, typer.Option("--hidden", help="Also what begins with a dot.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Take files out of the base that are gone here.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and do it again whenever something changes.")] = False,
) -> None:
    """Put files into a knowledge base: what is new or has changed. Exit code 1 where a file failed; run again, it goes on."""
    from penstock import ingest as ingest_module
    from penstock.local_files import Choice

    wanted = ingest_module.Wanted(
        paths=tuple(paths),
        knowledge=knowledge,
        choice=Choice(include=tuple(include or ()), exclude=tuple(exclude or ()), hidden=hidden),
        server=server,
        api_key=api_key,
        watch=watch,
        prune=prune,
        report=report,
    )
    raise typer.Exit(ingest_module.ingest(settings_module.load({"data_dir": data_dir}), wanted))


@app.command()
def doctor(
    *,
    knowledge: Annotated[bool, typer.Option("--knowledge", help="Count instead what knowledge bases and the vector store hold.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="With --knowledge: take away what nothing finds any more.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show what was found on this machine, and what each missing thing costs. Exit code 1 where something needed is missing or faulty."""
    settings = settings_module.load({"data_dir": data_dir})
    if knowledge:
        from penstock import knowledge as knowledge_module

        raise typer.Exit(0 if knowledge_module.check(settings, repair=repair) else 1)
    from penstock import doctor as doctor_module

    findings = doctor_module.examine(settings)
    sys.stdout.write(doctor_module.report(findings))
    raise typer.Exit(1 if any(finding.needed and not finding.found for finding in findings) else 0)


def _version(*, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"penstock {__version__}\n")
        raise typer.Exit


def _fail(detail: str) -> None:
    sys.stderr.write(f"penstock: {detail}\n")
    sys.exit(CANNOT_USE)
