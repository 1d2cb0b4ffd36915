"""One way of asking for each transport: plain POST, gql's websocket client, and the JavaScript graphql-ws client."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
from gql import GraphQLRequest
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import TransportQueryError

from tests.servers import missing

Answer = dict[str, Any]
CLIENTS = Path(__file__).parents[1] / "clients"


def bearer(token: str | None) -> dict[str, str]:
    """The header, where there is a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def node_client(package: str) -> None:
    """Skip, or fail in CI, where Node or a package of tests/clients is missing."""
    if not (shutil.which("node") and (CLIENTS / "node_modules" / package).exists()):
        missing(f"Node, or its package {package},")


class Transport:
    """``ask`` gives the one answer of a query or mutation, ``listen`` a subscription's, each as ``{data, errors}``."""

    streams: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        self.url = f"{url}/graphql"

    async def ask(self, query: str, token: str | None = None, **variables: Any) -> Answer:
        """The first answer."""
        async with aclosing(self.listen(query, token, **variables)) as answers:
            return await anext(answers)

    def listen(self, query: str, token: str | None = None, **variables: Any) -> AsyncGenerator[Answer, None]:
        """All answers, until the server ends them."""
        raise NotImplementedError


class Post(Transport):
    """``POST`` with a JSON body."""

    streams = False

    async def listen(self, query: str, token: str | None = None, **variables: Any) -> AsyncGenerator[Answer, None]:
        """The one answer."""
        body = {"query": query, "variables": variables}
        async with aiohttp.ClientSession() as session, session.post(self.url, json=body, headers=bearer(token)) as response:
            assert response.status == 200, await response.text()
            yield await response.json()


class Gql(Transport):
    """gql's websocket transport."""

    async def listen(self, query: str, token: str | None = None, **variables: Any) -> AsyncGenerator[Answer, None]:
        """Over a connection of its own."""
        transport = AIOHTTPWebsocketsTransport(self.url, init_payload=bearer(token), subprotocols=["graphql-transport-ws"])
        await transport.connect()
        try:
            async with aclosing(transport.subscribe(GraphQLRequest(query, variable_values=variables))) as results:
                async for result in results:
                    yield {"data": result.data, **({"errors": result.errors} if result.errors else {})}
        except TransportQueryError as error:
            yield {"errors": error.errors}
        finally:
            await transport.close()


class GraphqlWs(Transport):
    """The reference client of graphql-transport-ws, in Node."""

    async def listen(self, query: str, token: str | None = None, **variables: Any) -> AsyncGenerator[Answer, None]:
        """In a process of its own that prints each answer as a line."""
        node_client("graphql-ws")
        command = ("node", str(CLIENTS / "graphql-ws.mjs"), self.url.replace("http", "ws", 1))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps({"token": token, "operation": {"query": query, "variables": variables}}).encode())
            process.stdin.write_eof()
            async for line in process.stdout:
                yield json.loads(line)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


TRANSPORTS = (Post, Gql, GraphqlWs)
