"""Real servers for the tests, each started once a session on a free port of loopback.

``tests/servers.sh`` builds those that no package brings.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn

import pymongo
import pymongo.errors
import pytest
import redis

from penstock.supervisor import PARENT_DEATH
from tests.ports import free_port

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "penstock" / "servers"  # noqa: TID251 - where servers.sh builds into
START_S = 60
POLL_S = 0.02
OK = 200


def missing(what: str) -> NoReturn:
    """A server is not there: a skip on a laptop, a failure in CI, because there it can be had."""
    message = f"{what} is missing: run `make servers`."
    if os.environ.get("CI") == "true":  # noqa: TID251 - set by every CI system
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis with an append-only file; its URL, without a database number."""
    binary = shutil.which("redis-server")
    if binary is None:
        missing("redis-server")
    port = free_port()
    command = (binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(folder))
    with closing(redis.Redis(port=port)) as client, running(command, folder / "log", client.ping):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def mongo_server(folder: Path) -> Iterator[str]:
    """FerretDB on SQLite: MongoDB's wire protocol. Its URL, without a database."""
    port = free_port()
    options = ("--handler=sqlite", f"--sqlite-url=file:{folder}/", f"--state-dir={folder}", f"--listen-addr=127.0.0.1:{port}")
    command = (built("ferretdb"), *options, "--debug-addr=-", "--telemetry=disable", "--log-level=WARN")
    url = f"mongodb://127.0.0.1:{port}"
    with (
        closing(pymongo.MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=100)) as client,
        running(command, folder / "log", lambda: client.admin.command("ping")),
    ):
        yield url


@contextmanager
def weaviate_server(folder: Path) -> Iterator[str]:
    """Weaviate: vectors only, given by the caller. Its HTTP URL; gRPC listens on the port that ``GET /v1/meta`` names."""
    port = free_port()
    ports = {name: str(free_port()) for name in ("GRPC_PORT", "RAFT_PORT", "RAFT_INTERNAL_RPC_PORT", "CLUSTER_GOSSIP_BIND_PORT")}
    data_port = {"CLUSTER_DATA_BIND_PORT": str(int(ports["CLUSTER_GOSSIP_BIND_PORT"]) + 1)}  # Weaviate insists on neighbours
    environment = _WEAVIATE | ports | data_port | {"PERSISTENCE_DATA_PATH": str(folder)}
    command = (built("weaviate"), "--host", "127.0.0.1", "--port", str(port), "--scheme", "http")
    with running(command, folder / "log", lambda: _answers(port, "/v1/.well-known/ready"), environment):
        yield f"http://127.0.0.1:{port}"


_WEAVIATE = {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
    "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
    "CLUSTER_BIND_ADDR": "127.0.0.1",
    "CLUSTER_HOSTNAME": "node1",
    "DEFAULT_VECTORIZER_MODULE": "none",
    "DISABLE_TELEMETRY": "true",
    "GO_PROFILING_DISABLE": "true",
    "LOG_LEVEL": "warning",
    "RAFT_BOOTSTRAP_EXPECT": "1",
}


def built(name: str) -> str:
    """The path of a program that ``tests/servers.sh`` has built."""
    path = CACHE / name
    if not os.access(path, os.X_OK):
        missing(name)
    return str(path)


@contextmanager
def running(
    command: tuple[str, ...], log: Path, answers: Callable[[], object], environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """A process that answers, and is gone when the block ends, or with us."""
    tether = (sys.executable, "-I", "-S", PARENT_DEATH, str(os.getpid()))
    inherited = os.environ  # noqa: TID251 - handing it on
    with log.open("wb") as output:
        process = subprocess.Popen((*tether, *command), stdout=output, stderr=output, env={**inherited, **(environment or {})})
    try:
        _wait(process, answers, log)
        yield
    finally:
        process.kill()  # nothing of it is kept, and Weaviate takes seconds to leave politely
        process.wait()


def _wait(process: subprocess.Popen[bytes], answers: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(redis.RedisError, pymongo.errors.PyMongoError, HTTPException, OSError):
            if answers():
                return
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, f"{process.args!r} did not answer in {START_S} s: {log.read_text()[-2000:]}"
        time.sleep(POLL_S)


def _answers(port: int, path: str) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status == OK
