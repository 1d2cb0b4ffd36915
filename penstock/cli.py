"""The ``penstock`` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from core import settings as settings_module
from core.errors import PenstockError
from core.models.pools import Pool
from penstock import __version__, standalone
from penstock import doctor as doctor_module
from penstock import status as status_module
from penstock import up as up_module
from penstock.console import Console

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
    settings = settings_module.load({"port": port, "data_dir": data_dir, "host": host})
    up_module.up(settings, Console(), verbose=verbose)


@app.command()
def api(port: Port = None, host: Host = None, data_dir: DataDir = None) -> None:
    """Start web processes (PENSTOCK_API_PROCESSES of them) on a Redis that runs already."""
    standalone.api(settings_module.load({"port": port, "host": host, "data_dir": data_dir}), Console(sys.stderr))


@app.command()
def worker(pool: Annotated[Pool, typer.Argument(help="Which work it takes.")], data_dir: DataDir = None) -> None:
    """Start a worker of a pool on a Redis that runs already. Start more, here or on other machines, to scale the pool."""
    standalone.worker(pool, settings_module.load({"data_dir": data_dir}), Console(sys.stderr))


@app.command()
def status(
    data_dir: DataDir = None,
    *,
    here: Annotated[bool, typer.Option(help="Only this host's workers; exit code 1 where none lives.")] = False,
) -> None:
    """Show the live workers, and what waits for them."""
    text, alive = status_module.status(settings_module.load({"data_dir": data_dir}), here=here)
    sys.stdout.write(text)
    raise typer.Exit(0 if alive or not here else 1)


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Show what was found on this machine, and what each missing thing costs. Exit code 1 where something needed is missing."""
    findings = doctor_module.examine(settings_module.load({"data_dir": data_dir}))
    sys.stdout.write(doctor_module.report(findings))
    raise typer.Exit(1 if any(finding.needed and not finding.found for finding in findings) else 0)


def _version(*, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"penstock {__version__}\n")
        raise typer.Exit


def _fail(detail: str) -> None:
    sys.stderr.write(f"penstock: {detail}\n")
    sys.exit(CANNOT_USE)
