"""Searching the web with the processes that operators start: a web process, and a worker of the CPU pool with its children."""

import asyncio
from pathlib import Path

import aiohttp

from tests.api.conftest import Client, sign_up
from tests.search_engines import Engines
from tests.stack import stack_in
from tests.web_pages import Site, html


async def test_what_is_found_comes_with_its_text(tmp_path: Path) -> None:
    async with Site().serving() as site, Engines().serving() as engines:
        site.pages["/"] = html("<p>Stone carries water.</p>")
        engines.found = tuple((title, f"http://{host}:{site.port}/", "s") for title, host in (("A", "127.0.0.1"), ("B", "127.0.0.2")))
        settings = {"web_search": "searxng", "web_search_url": engines.url, "fetch_allow": f"127.0.0.1:{site.port}"}
        async with stack_in(tmp_path, **settings) as stack, aiohttp.ClientSession() as session:
            await stack.start_redis()
            _, worker = await asyncio.gather(stack.start_api(), stack.start_worker("cpu"))
            user = await sign_up(Client(stack.url, session), "Ada")
            reply = await user.post("/api/retrieval/web", {"query": "aqueducts", "content": True})
            log = worker.log.read_text()
    one, two = reply.body["results"]
    assert (one["content"], "127.0.0.2 is at a loopback address" in two["error"]) == ("Stone carries water.", True)
    assert "unhandled error" not in log
