"""A real browser: nothing from elsewhere may be fetched, and nothing may go wrong on the page."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

from tests.servers import missing

FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@asynccontextmanager
async def opened(url: str, path: str, *, refusals: int | None = None) -> AsyncGenerator[Page, None]:
    """A page; it fails the test where anything is fetched from another server or an error reaches the console.

    ``refusals``: a status that may be answered, which browsers call an error.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("chromium")
    troubles: list[str] = []
    refused = f"status of {refusals} ("
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = await running.new_page(viewport={"width": 1400, "height": 900})
        page.on(
            "console", lambda message: troubles.append(message.text) if message.type == "error" and refused not in message.text else None
        )
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((url, "data:", "blob:")) else troubles.append(request.url))
        await page.goto(f"{url}{path}")
        try:
            yield page
        finally:
            await running.close()
    assert not troubles, troubles
