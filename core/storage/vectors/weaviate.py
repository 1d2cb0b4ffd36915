"""Vectors in Weaviate, through its asynchronous client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import weaviate
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError, WeaviateInsertManyAllFailedError

from core.errors import Unavailable
from core.settings import Settings
from core.storage.vectors.port import (
    SEARCH_S,
    Entry,
    Hit,
    Point,
    Query,
    Selection,
    VectorSpace,
    check_collection,
    check_query,
)
from core.storage.vectors.weaviate_connection import WeaviateConnection, is_missing
from core.storage.vectors.weaviate_schema import ENTRY, SOME, batches, class_name, class_settings, entry, filters
from core.storage.vectors.weaviate_search import search

T = TypeVar("T")

UNPROCESSABLE = 422

_NOT_ALL = "Weaviate has not done everything: {}. Do it again once that is mended; repeating it does no harm."

_Tenant = Any  # the client's collection, of one tenant


class WeaviateVectors:
    """The port on Weaviate. Nothing is sent before the first verb."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for a URL that cannot be used."""
        self._connection = WeaviateConnection(settings)
        self._there: set[VectorSpace] = set()

    async def close(self) -> None:
        """Close its connections."""
        await self._connection.close()

    async def ping(self) -> None:
        """Ask for an answer."""
        await self._connection.ping()

    async def setup(self, space: VectorSpace) -> None:
        """Make a space's class."""

        async def made(client: weaviate.WeaviateAsyncClient) -> None:
            if await client.collections.exists(class_name(space)):
                return
            try:
                await client.collections.create(**class_settings(space))
            except UnexpectedStatusCodeError as error:
                if error.status_code != UNPROCESSABLE or "already exists" not in str(error):  # another process was first
                    raise

        await self._connection.ask(made)
        self._there.add(space)

    async def upsert(self, space: VectorSpace, points: Sequence[Point]) -> None:
        """In lots; Weaviate makes a collection's tenant with its first."""
        prepared = await asyncio.to_thread(batches, space, points)
        if space not in self._there:  # a class that comes with its first object has every setting wrong
            await self.setup(space)
        for collection, lots in prepared.items():
            for lot in lots:
                await self._connection.ask(lambda client, at=(collection, lot): _insert(_tenant(client, space, at[0]), at[1]))  # type: ignore[misc]

    async def delete(self, space: VectorSpace, selection: Selection) -> int:
        """Repeated until nothing is selected: 10,000 go at once at most."""
        check_collection(selection.collection)
        deleted = 0
        for where in filters(selection):
            if where is None:
                return await self._empty(space, selection.collection)
            while some := await self._over(space, selection.collection, lambda tenant, where=where: _delete(tenant, where), 0):  # type: ignore[misc]
                deleted += some
        return deleted

    async def count(self, space: VectorSpace, selection: Selection) -> int:
        """Counted by the server."""
        check_collection(selection.collection)

        async def counted(tenant: _Tenant, where: Any) -> int:
            return int((await tenant.aggregate.over_all(total_count=True, filters=where)).total_count)

        counts = [
            await self._over(space, selection.collection, lambda tenant, where=where: counted(tenant, where), 0)  # type: ignore[misc]
            for where in filters(selection)
        ]
        return sum(counts)

    async def entries(self, space: VectorSpace, collection: str) -> AsyncIterator[Entry]:
        """In the order of their ids. Only a listing without a filter goes beyond 10,000."""
        check_collection(collection)
        last: Any = None
        while True:

            async def following(tenant: _Tenant, after: Any = last) -> Any:
                return (await tenant.query.fetch_objects(limit=SOME, after=after, return_properties=list(ENTRY))).objects

            found: list[Any] = await self._over(space, collection, following, [])
            for one in found:
                yield entry(one.properties)
            if len(found) < SOME:
                return
            last = found[-1].uuid

    async def collections(self, space: VectorSpace) -> list[str]:
        """The tenants."""

        async def named(client: weaviate.WeaviateAsyncClient) -> list[str]:
            if not await client.collections.exists(class_name(space)):
                return []
            return sorted(await client.collections.use(class_name(space)).tenants.get())

        return await self._connection.ask(named)

    async def search(self, space: VectorSpace, query: Query) -> list[Hit]:
        """Every collection at once, as ``weaviate_search`` has it."""
        check_query(space, query)
        name = class_name(space)
        return await self._connection.ask(lambda client: search(client.collections.use(name), query), SEARCH_S)

    async def drop(self, space: VectorSpace) -> None:
        """Remove the class."""
        self._there.discard(space)
        await self._connection.ask(lambda client: client.collections.delete(class_name(space)))

    async def _empty(self, space: VectorSpace, collection: str) -> int:
        """Removing the tenant takes no time, however much there is."""
        there = await self.count(space, Selection(collection=collection))

        async def emptied(client: weaviate.WeaviateAsyncClient) -> None:
            if await client.collections.exists(class_name(space)):
                await client.collections.use(class_name(space)).tenants.remove([collection])

        await self._connection.ask(emptied)
        return there

    async def _over(self, space: VectorSpace, collection: str, work: Callable[[_Tenant], Awaitable[T]], nothing: T) -> T:
        """Work over a collection; over one that is not there, ``nothing``."""

        async def done(client: weaviate.WeaviateAsyncClient) -> T:
            try:
                return await work(_tenant(client, space, collection))
            except WeaviateBaseError as error:
                if is_missing(error):
                    return nothing
                raise

        return await self._connection.ask(done)


def _tenant(client: weaviate.WeaviateAsyncClient, space: VectorSpace, collection: str) -> _Tenant:
    return client.collections.use(class_name(space)).with_tenant(collection)


async def _insert(tenant: _Tenant, lot: Sequence[Any]) -> None:
    """Refusals of some are told in what comes back, refusals of all are raised."""
    try:
        done = await tenant.data.insert_many(lot)
        refusals = [error.message for error in done.errors.values()] if done.has_errors else []
    except WeaviateInsertManyAllFailedError as error:
        refusals = [str(error.message)]
    if refusals:
        raise Unavailable(_NOT_ALL.format(refusals[0][:400]))


async def _delete(tenant: _Tenant, where: Any) -> int:
    done = await tenant.data.delete_many(where=where)
    if done.failed:
        raise Unavailable(_NOT_ALL.format(f"{done.failed} of {done.matches} are still there"))
    return int(done.successful)
