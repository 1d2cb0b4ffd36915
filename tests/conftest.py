"""Fixtures that every part uses: real servers, settings over them, and a watch on the event loop."""

import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
import redis
from blockbuster import blockbuster_ctx

from core.settings import Settings
from tests import machine, servers

ROOT = Path(__file__).parent.parent
PACKAGES = ("api", "core", "gpu", "penstock", "pipelines", "schema", "workers")

MAY_BLOCK = (
    # An entry point reads its settings before it serves anybody; tests call these where it suits them.
    ("core/settings.py", {"load", "with_secret_key"}),
    # A bug's stack, logged once, shows its source lines.
    ("linecache.py", {"checkcache", "updatecache"}),
    ("rich/traceback.py", {"_render_stack"}),
    # redis-py looks up its own version for every new connection: 0.2 ms of metadata.
    ("redis/utils.py", {"get_lib_version"}),
)


def pytest_report_header() -> list[str]:
    return machine.describe()


@pytest.fixture(autouse=True)
def watched_loop() -> Iterator[None]:
    """A call from the product's code that blocks the event loop is an error (the tests' own files may be read there)."""
    with blockbuster_ctx(scanned_modules=[_folder(name) for name in PACKAGES]) as watch:
        for function in watch.functions.values():
            for file, functions in MAY_BLOCK:
                function.can_block_in(file, functions)
        yield


def _folder(name: str) -> ModuleType:
    """What blockbuster asks of a package, without importing it: a test of core must not need every library."""
    module = ModuleType(name)
    module.__path__ = [f"{ROOT / name}/"]
    return module


@pytest.fixture(scope="session")
def made_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where data folders of tests find what is made of the local models once; the first test that needs it makes it."""
    given = os.environ.get("PENSTOCK_TEST_MODELS")  # noqa: TID251 - a setting of the tests, not of the product
    return Path(given) if given else tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Redis for the whole session; its URL without a database number."""
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A real Redis with nothing in it."""
    with closing(redis.Redis.from_url(redis_server)) as client:
        client.flushall()
    return f"{redis_server}/0"


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[servers.RedisServer]]:
    """One Redis Cluster of three masters for the whole session."""
    with servers.redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def redis_cluster_url(redis_cluster: list[servers.RedisServer]) -> str:
    """A real Redis Cluster with nothing in it, named by one of its nodes."""
    for node in redis_cluster:
        node.client.flushall()
    return redis_cluster[0].url


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    """Settings over that Redis and an empty data folder."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    return Settings(data_dir=data_dir, redis_url=redis_url, secret_key="a secret key that only these tests know")


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server that speaks MongoDB's protocol: the one that PENSTOCK_TEST_MONGO_URL names, else one in memory."""
    given = os.environ.get("PENSTOCK_TEST_MONGO_URL")  # noqa: TID251 - a setting of the tests, not of the product
    if given:
        yield given.rstrip("/")
        return
    with servers.mongo_server(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest.fixture
def mongo_url(mongo_server: str) -> str:
    """A database of the test's own."""
    return f"{mongo_server}/test_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def ferretdb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One FerretDB for the whole session."""
    with servers.ferretdb_server(tmp_path_factory.mktemp("ferretdb")) as url:
        yield url


@pytest.fixture
def ferretdb_url(ferretdb_server: str) -> str:
    """A database of the test's own."""
    return f"{ferretdb_server}/test_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def weaviate_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Weaviate for the whole session: tests name their collections or tenants apart."""
    with servers.weaviate_server(tmp_path_factory.mktemp("weaviate")) as url:
        yield url
