"""How a zygote is started: under bubblewrap, or by itself where it holds its children by Landlock."""

import os
import sys
from errno import ENOENT
from pathlib import Path
from shutil import which

from pipelines.sandbox.outcome import Isolation

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE.parent.parent
_INSIDE = "/penstock"
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from pipelines.sandbox.inside.zygote import main; del sys.path[0]; "
    "main(sys.argv[2], int(sys.argv[3]), sys.argv[4:])"
)
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32")
_DATA = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - a file system of the child's own
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",  # each reserves 64 MiB of address space, of which a call has little
    "OPENBLAS_NUM_THREADS": "1",  # a thread would make forks unsafe
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PATH": "/usr/bin",
    "TZ": "UTC",
}


def command(isolation: Isolation, control: int) -> tuple[list[str], dict[str, str]]:
    """The command of a zygote and its whole environment. ``control``: the descriptor of its socket, which it inherits."""
    readable = [*_python(), *_LIBRARIES, *_DATA, *_DEVICES]
    if isolation == Isolation.LANDLOCK:
        return [*_interpreter(str(_ROOT), isolation, control), *readable], _ENVIRONMENT
    program = which("bwrap")
    if program is None:
        raise FileNotFoundError(ENOENT, "the program bwrap is not installed")
    return [program, *_bubblewrap(), "--", *_interpreter(_INSIDE, isolation, control)], _ENVIRONMENT


def _interpreter(root: str, isolation: Isolation, control: int) -> list[str]:
    return [sys.executable, "-I", "-B", "-X", "utf8", "-c", _PROGRAM, root, isolation.value, str(control)]


def _python() -> list[str]:
    """Where Python, its library and its packages are; what a system's Python needs is among the libraries."""
    prefixes = [sys.prefix] if sys.base_prefix == "/usr" else [sys.prefix, sys.base_prefix]
    return list(dict.fromkeys(prefixes))


def _bubblewrap() -> list[str]:
    seen: set[str] = set()
    bound = [*_python(), *filter(os.path.exists, _DATA)]
    if sys.base_prefix == "/usr":
        bound.append(os.path.realpath(sys.executable))
    options = _namespaces() + _libraries(seen)
    for path in bound:
        options += _bind(os.path.realpath(path), path, seen)
    for path in ("pipelines/__init__.py", "pipelines/sandbox/__init__.py", "pipelines/sandbox/inside"):
        options += _bind(str(_ROOT / path), f"{_INSIDE}/{path}", seen)
    for device in _DEVICES:
        options += [*_parents(device, seen), "--dev-bind", device, device]
    return [*options, "--proc", "/proc", "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/"]  # noqa: S108 - for a child's own


def _namespaces() -> list[str]:
    """Root needs no user namespace yet: the zygote becomes nobody, whose threads the kernel counts, as it does not count root's."""
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-net", "--unshare-uts", "--hostname", "sandbox"]
    if os.getuid():
        options += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    return [*options, "--die-with-parent", "--new-session"]


def _libraries(seen: set[str]) -> list[str]:
    options: list[str] = []
    for path in map(Path, _LIBRARIES):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += _bind(str(path), str(path), seen)
    return options


def _bind(source: str, target: str, seen: set[str]) -> list[str]:
    return [*_parents(target, seen), "--ro-bind", source, target]


def _parents(path: str, seen: set[str]) -> list[str]:
    """The folders above a path, which everybody may pass through: bubblewrap would make them its own user's."""
    options: list[str] = []
    for parent in reversed(Path(path).parents):
        if str(parent) != "/" and str(parent) not in seen:
            seen.add(str(parent))
            options += ["--dir", str(parent)]
    return options
