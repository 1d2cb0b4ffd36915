"""Real servers for the tests, each started once a session on a free port of loopback.

``tests/servers.sh`` builds those that no package brings.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn

import pymongo
import pymongo.errors
import pytest
import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

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


class RedisServer:
    """A Redis with an append-only file, on a port that it keeps when it is started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            missing("redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client = redis.Redis(port=self.port)
        self._log = folder / "log"
        own = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(folder))
        self._command = (binary, *own, *options)
        self._process = ExitStack()

    def start(self) -> None:
        """Return when it answers."""
        self._process.enter_context(running(self._command, self._log, self.client.ping))

    def kill(self) -> None:
        """By SIGKILL."""
        self.client.close()
        self._process.close()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis; its URL, without a database number."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.kill()


@contextmanager
def redis_cluster(folder: Path, *options: str) -> Iterator[list[RedisServer]]:
    """A Redis Cluster of three masters, with a third of the slots each."""
    nodes = [cluster_node(folder / name, *options) for name in ("one", "two", "three")]
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        edges = [index * REDIS_CLUSTER_HASH_SLOTS // len(nodes) for index in range(len(nodes) + 1)]
        for number, node in enumerate(nodes):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
        for node in nodes[1:]:
            meet(nodes[0], node)
        wait_for_cluster(nodes)
        yield nodes


def cluster_node(folder: Path, *more: str) -> RedisServer:
    """A Redis that may belong to a cluster, not yet started."""
    folder.mkdir()
    options = {
        "cluster-enabled": "yes",
        "cluster-port": str(free_port()),
        "cluster-node-timeout": "2000",
        "repl-diskless-sync-delay": "0",
    }
    return RedisServer(folder, *(word for name, value in options.items() for word in (f"--{name}", value)), *more)


def meet(known: RedisServer, new: RedisServer) -> None:
    """Let a cluster know another node."""
    bus_port = new.client.config_get("cluster-port")["cluster-port"]
    known.client.execute_command("CLUSTER", "MEET", "127.0.0.1", new.port, bus_port)


def wait_for_cluster(nodes: Sequence[RedisServer]) -> None:
    """Until all nodes find that all are there."""
    for node in nodes:
        wait_for(lambda node=node: _is_whole(node, len(nodes)), "the cluster is whole")  # type: ignore[misc]


def _is_whole(node: RedisServer, size: int) -> bool:
    info = str(node.client.execute_command("CLUSTER", "INFO"))
    return "cluster_state:ok" in info and f"cluster_known_nodes:{size}" in info


@contextmanager
def mongo_server(folder: Path) -> Iterator[str]:
    """MongoDB's wire protocol over data in memory (tests/mongodb), as atomic as MongoDB. Its URL, without a database."""
    java, classes, port = shutil.which("java"), CACHE / "mongodb", free_port()
    if java is None or not classes.is_dir():
        missing("MongoDB in memory")
    command = (java, "-XX:+UseSerialGC", "-Xmx1g", "-cp", f"{classes}/*:{classes}", "MongoServerInMemory", str(port))
    with _mongo_running(command, folder, port) as url:
        yield url


@contextmanager
def ferretdb_server(folder: Path) -> Iterator[str]:
    """FerretDB, the same protocol on SQLite: it looks for what to update first, and updates it later. Its URL, without a database."""
    port = free_port()
    options = ("--handler=sqlite", f"--sqlite-url=file:{folder}/", f"--state-dir={folder}", f"--listen-addr=127.0.0.1:{port}")
    command = (built("ferretdb"), *options, "--debug-addr=-", "--telemetry=disable", "--log-level=WARN")
    with _mongo_running(command, folder, port) as url:
        yield url


@contextmanager
def _mongo_running(command: tuple[str, ...], folder: Path, port: int) -> Iterator[str]:
    url = f"mongodb://127.0.0.1:{port}"
    with (
        closing(pymongo.MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=100)) as client,
        running(command, folder / "log", lambda: client.admin.command("ping")),
    ):
        yield url


@contextmanager
def weaviate_server(folder: Path, **settings: str) -> Iterator[str]:
    """Weaviate: vectors only, given by the caller. Its HTTP URL; ``weaviate_grpc_url`` gives the other one."""
    port = free_port()
    ports = {name: str(free_port()) for name in ("RAFT_PORT", "RAFT_INTERNAL_RPC_PORT", "CLUSTER_GOSSIP_BIND_PORT")}
    data_port = {"CLUSTER_DATA_BIND_PORT": str(int(ports["CLUSTER_GOSSIP_BIND_PORT"]) + 1)}  # Weaviate insists on neighbours
    environment = _WEAVIATE | ports | data_port | {"GRPC_PORT": str(port + 1), "PERSISTENCE_DATA_PATH": str(folder)} | settings
    command = (built("weaviate"), "--host", "127.0.0.1", "--port", str(port), "--scheme", "http")
    with running(command, folder / "log", lambda: _answers(port, "/v1/.well-known/ready"), environment):
        yield f"http://127.0.0.1:{port}"


def weaviate_grpc_url(url: str) -> str:
    """Where the Weaviate of this HTTP URL takes gRPC: Weaviate itself tells it nowhere, so it is the next port here."""
    host, _, port = url.rpartition(":")
    return f"{host}:{int(port) + 1}"


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


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Until a condition holds. Fails naming ``what`` was waited for."""
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {START_S} s in vain until {what}"
        time.sleep(POLL_S)


def _answers(port: int, path: str) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status == OK
