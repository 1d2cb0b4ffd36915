"""What is promised of Weaviate beyond the port."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.errors import Unavailable
from core.settings import Settings
from core.storage.vectors import open_vectors
from core.storage.vectors.port import Query, Selection, VectorSpace
from core.storage.vectors.weaviate_schema import class_name
from tests import servers
from tests.core.storage.vectors.corpus import point, vector
from tests.ports import free_port
from tests.proxy import proxy_to


async def test_a_server_that_goes_away_is_said_in_seconds(tmp_path: Path, space: VectorSpace) -> None:
    with ExitStack() as stack:
        url = await asyncio.to_thread(stack.enter_context, servers.weaviate_server(tmp_path))
        settings = Settings(weaviate_url=url, weaviate_grpc_url=servers.weaviate_grpc_url(url))
        async with open_vectors(settings) as vectors:
            query = Query(visible={"base": {"file": 1}}, vector=vector("x"), text="x")
            await vectors.upsert(space, [point("x", "1")])
            assert len(await vectors.search(space, query)) == 1
            await asyncio.to_thread(stack.close)
            selection = Selection(collection="base", files=("file",))
            verbs = (
                lambda: vectors.search(space, query),
                lambda: vectors.upsert(space, [point("x", "2")]),
                lambda: vectors.delete(space, selection),
                lambda: vectors.count(space, selection),
                lambda: vectors.collections(space),
                lambda: vectors.setup(space),
                vectors.ping,
            )
            for verb in verbs:
                async with asyncio.timeout(10):
                    with pytest.raises(Unavailable, match="PENSTOCK_WEAVIATE_URL"):
                        await verb()


async def test_a_server_that_was_never_there_is_said_at_the_first_verb_and_not_before(space: VectorSpace) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with open_vectors(Settings(weaviate_url=url)) as vectors:
        for _ in range(2):
            async with asyncio.timeout(10):
                with pytest.raises(Unavailable, match="PENSTOCK_WEAVIATE_URL"):
                    await vectors.upsert(space, [point("x", "1")])


async def test_a_connection_that_ends_before_the_answer_is_said_too(weaviate_url: str, space: VectorSpace) -> None:
    async with proxy_to(weaviate_url) as network:
        settings = Settings(weaviate_url=network.url, weaviate_grpc_url=servers.weaviate_grpc_url(weaviate_url))
        async with open_vectors(settings) as vectors:
            await vectors.setup(space)
            network.hangs_up = True
            for verb in (lambda: vectors.setup(space), lambda: vectors.collections(space), vectors.ping):
                with pytest.raises(Unavailable, match="PENSTOCK_WEAVIATE_URL"):
                    await verb()


async def test_grpc_in_the_wrong_place_is_said_to_be_that(weaviate_url: str, space: VectorSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.storage.vectors.weaviate.SEARCH_S", 1.5)
    wrong = f"http://127.0.0.1:{free_port()}"
    async with open_vectors(Settings(weaviate_url=weaviate_url, weaviate_grpc_url=wrong)) as vectors:
        query = Query(visible={"base": {"file": 1}}, vector=vector("x"), text="x")
        with pytest.raises(Unavailable, match="PENSTOCK_WEAVIATE_GRPC_URL"):
            await vectors.search(space, query)


def test_a_class_is_of_one_model_and_size_alone() -> None:
    spaces = [VectorSpace(model=model, dimensions=size) for model in ("a/b", "a-b", "a b", "A/B", "ä", "x" * 300) for size in (8, 16)]
    names = [class_name(space) for space in spaces]
    assert len({name.lower() for name in names}) == len(spaces)
    assert all(len(name) < 120 for name in names)
