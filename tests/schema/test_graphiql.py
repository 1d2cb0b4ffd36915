"""The GraphiQL page in a real browser: nothing from elsewhere, a query, and a subscription with the token of the Headers editor."""

import json
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, async_playwright, expect

from core.models.chats import SendMessage
from core.models.completions import Usage
from core.models.events import Delta, Finished, Started
from core.models.generations import GenerationStatus
from core.models.users import Session
from core.services import Services
from tests.schema.transports import needed

FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@asynccontextmanager
async def browser(server: TestServer) -> AsyncGenerator[Page, None]:
    """A page at ``/graphql``; it fails the test where anything is fetched from elsewhere or an error reaches the console."""
    chromium = shutil.which("chromium")
    needed(bool(chromium), "chromium")
    troubles: list[str] = []
    origin = str(server.make_url("")).rstrip("/")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = await running.new_page(viewport={"width": 1400, "height": 900})
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((origin, "data:", "blob:")) else troubles.append(request.url))
        await page.goto(f"{origin}/graphql")
        try:
            yield page
            if folder := os.environ.get("PENSTOCK_TEST_SCREENSHOTS"):
                await page.screenshot(path=f"{folder}/graphiql.png")
        finally:
            await running.close()
    assert troubles == []


async def write(page: Page, editor: str, text: str) -> None:
    """Replace what an editor holds."""
    await page.evaluate(
        "([name, text]) => document.querySelector(`[aria-label='${name}'] .CodeMirror`).CodeMirror.setValue(text)", [editor, text]
    )


async def test_the_page_asks_and_listens(server: TestServer, services: Services, ada: Session) -> None:
    principal = await services.users.authenticate(ada.token)
    chat = (await services.chats.create(principal, {"title": "Rivers"})).chat
    spec, _, _ = await services.generations.reply(principal, SendMessage(chat_id=chat.id, content="Where does it flow?"))
    claim = await services.claims.claim(spec.id, "worker")
    assert claim
    async with browser(server) as page:
        run, result = page.get_by_role("button", name="Execute query"), page.locator(".result-window")
        await expect(page.get_by_text("Welcome to Penstock")).to_be_visible()
        await write(page, "Headers", json.dumps({"Authorization": f"Bearer {ada.token}"}))
        await write(page, "Query Editor", "{ me { name role } }")
        await run.click()
        await expect(result).to_contain_text('"name": "Ada"')
        await write(
            page, "Query Editor", f'subscription {{ generation(id: "{spec.id}") {{ __typename id ... on GenerationDelta {{ text }} }} }}'
        )
        await run.click()
        await services.claims.append(claim, 1, (Started(model="echo", attempt=1), Delta(text="To the sea.")))
        await expect(result).to_contain_text("To the sea.")
        end = (Finished(usage=Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)),)
        await services.claims.append(claim, 3, end, end=GenerationStatus.FINISHED)
        await expect(result).to_contain_text("GenerationFinished")


async def test_the_page_lets_only_local_files_in(server: TestServer) -> None:
    async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as session, session.get(server.make_url("/graphql")) as response:
        policy = response.headers["Content-Security-Policy"]
        page = await response.text()
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "http" not in page


async def test_a_client_that_is_no_browser_gets_no_page(server: TestServer) -> None:
    async with aiohttp.ClientSession() as session, session.get(server.make_url("/graphql")) as response:
        assert (response.status, response.content_type) == (400, "application/json")
