"""What benchmarks need of others, fetched once into a cache outside the checkout: packages of Debian, files out of wheels, programs."""

import asyncio
import os
import re
import sys
import zipfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "penstock" / "benchmarks"  # noqa: TID251 - the caches' place


async def debian(package: str, needed: str = "") -> Path:
    """A folder in which a package of Debian is unpacked, without being installed.

    ``needed``: a pattern; the package that the named one depends on by such a name is meant. Raises SystemExit where it cannot be had.
    """
    folder = CACHE / package
    if not _is_there(folder):
        new = _empty(folder)
        archive = await _download(new, package)
        if needed:
            depends = await _run("dpkg-deb", "--field", str(archive), "Depends")
            found = re.search(needed, depends)
            assert found, depends
            archive = await _download(new, found[0])
        await _run("dpkg-deb", "-x", str(archive), str(new))
        new.rename(folder)
    return folder


async def python_documentation() -> Path:
    """The folder of its pages."""
    folder = await debian("python3-doc", r"python3\.\d+-doc")
    return _real(next(folder.glob("usr/share/doc/*/html/faq"))).parent


async def wheel(requirement: str) -> zipfile.ZipFile:
    """A wheel of the package index, without being installed. Raises SystemExit where it cannot be had."""
    folder = CACHE / requirement
    if not _is_there(folder):
        new = _empty(folder)
        await _run(sys.executable, "-m", "venv", str(new / "venv"))
        pip = (str(new / "venv" / "bin" / "python"), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
        await _run(*pip, "--dest", str(new), requirement)
        new.rename(folder)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


async def programs(requirement: str, *others: str) -> Path:
    """The folder of the programs of a virtual environment that has these packages and nothing of ours; its Python is one of them.

    It is moved once it is whole: scripts in it have to be given to that Python. Raises SystemExit where it cannot be had.
    """
    folder = CACHE / requirement.replace("==", "-")
    if not _is_there(folder):
        new = _empty(folder)
        await _run(sys.executable, "-m", "venv", str(new))
        python = str(new / "bin" / "python")
        await _run(python, "-m", "pip", "install", "--quiet", "uv")
        await _run(python, "-m", "uv", "pip", "install", "--quiet", "--python", python, requirement, *others)
        new.rename(folder)
    return folder / "bin"


def _is_there(folder: Path) -> bool:
    return folder.is_dir()


def _real(path: Path) -> Path:
    """Debian has the same folder in two places."""
    return path.resolve()


def _empty(folder: Path) -> Path:
    new = folder.with_name(f"{folder.name}.{os.getpid()}")
    new.mkdir(parents=True)
    return new


async def _download(folder: Path, package: str) -> Path:
    before = _archives(folder)
    await _run("env", "-C", str(folder), "apt-get", "download", "--quiet", "--option", "APT::Sandbox::User=root", package)
    (archive,) = _archives(folder) - before
    return archive


def _archives(folder: Path) -> set[Path]:
    return set(folder.glob("*.deb"))


async def _run(*command: str) -> str:
    """What a program prints."""
    try:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    except FileNotFoundError:
        message = f"{command[0]} is not here: this benchmark reads packages of Debian, which apt-get and dpkg-deb fetch and unpack."
        raise SystemExit(message) from None
    output, said = await process.communicate()
    if process.returncode != 0:
        reason = (said.decode(errors="replace").strip().splitlines() or ["it did not say why"])[-1]
        message = f"{' '.join(command)}: {reason}"
        raise SystemExit(message)
    return output.decode()
