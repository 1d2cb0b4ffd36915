"""The pages at ``/docs`` and ``/redoc`` in a real browser, used as their readers use them."""

import re

import pytest
from playwright.async_api import FilePayload, Locator, Page, expect

from tests.api.conftest import Client
from tests.browser import opened
from tests.polling import until

INDEXED_MS = 90_000  # ReDoc indexes what it shows before it finds anything


async def authorize(page: Page, token: str) -> None:
    """As one does with the button."""
    await page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    await dialog.get_by_label("auth-bearer-value").fill(token)
    await dialog.get_by_role("button", name="Apply credentials").first.click()
    await dialog.get_by_role("button", name="Close").last.click()


SCROLL = """() => new Promise((shown) => {
  const bottom = window.scrollY + window.innerHeight >= document.body.scrollHeight - 1;
  window.scrollTo(0, bottom ? 0 : window.scrollY + window.innerHeight / 2);
  requestAnimationFrame(() => requestAnimationFrame(shown));
})"""


async def block_of(page: Page, operation: str) -> Locator:
    """An operation's block. Of more than a hundred, the page holds those near what is seen: one scrolls until it is there."""
    block = page.locator(f"[id$='{operation}']")

    async def is_there() -> bool:
        if await block.count():
            return True
        await page.evaluate(SCROLL)
        return False

    await until(is_there, f"{operation} is on the page")
    return block


async def tried(page: Page, operation: str) -> Locator:
    """What comes back of an operation that is opened and executed."""
    block = await block_of(page, operation)
    await block.locator(".opblock-summary-control").click()
    await block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response")


async def test_the_servers_own_address_leads_to_the_documentation(url: str, visitor: Client) -> None:
    async with opened(url, "/") as page:
        assert page.url == f"{url}/docs"
        await expect(page.get_by_role("heading", name="Penstock")).to_be_visible()
    for method in ("GET", "HEAD"):
        reply = await visitor.ask(method, "/", allow_redirects=False)
        assert (reply.status, reply.headers["Location"], reply.body) == (307, "/docs", None)
    refused = await visitor.post("/", {})
    assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD")


async def test_a_token_is_given_and_requests_are_tried(url: str, bob: Client) -> None:
    async with opened(url, "/docs") as page:
        await authorize(page, bob.token)
        answer = await tried(page, "authsCurrent")
        await expect(answer.locator(".response-col_status")).to_contain_text("200")
        await expect(answer).to_contain_text("bob@example.com")
        answer = await tried(page, "chatsCreate")
        await expect(answer.locator(".response-col_status")).to_contain_text("201")
        await page.reload()
        answer = await tried(page, "chatsList")
        await expect(answer.locator(".response-col_status")).to_contain_text("200")
    assert len((await bob.get("/api/chats/")).body) == 1


async def test_an_api_key_is_as_good_as_a_token(url: str, bob: Client) -> None:
    key = (await bob.post("/api/users/api_key", {"name": "For the page"})).body["api_key"]
    async with opened(url, "/docs") as page:
        await authorize(page, key)
        answer = await tried(page, "chatsCreate")
        await expect(answer.locator(".response-col_status")).to_contain_text("201")
    assert len((await bob.get("/api/chats/")).body) == 1


async def test_a_file_is_chosen_and_sent(url: str, bob: Client) -> None:
    async with opened(url, "/docs") as page:
        await authorize(page, bob.token)
        block = await block_of(page, "filesUpload")
        await block.locator(".opblock-summary-control").click()
        file: FilePayload = {"name": "notes.md", "mimeType": "text/plain", "buffer": b"# Notes"}
        await block.locator("input[type=file]").set_input_files(file)
        await block.get_by_role("button", name="Execute").click()
        await expect(block.locator(".live-responses-table .response .response-col_status")).to_contain_text("201")
    (sent,) = (await bob.get("/api/files/")).body
    assert (sent["filename"], sent["meta"]) == ("notes.md", {"name": "notes.md", "content_type": "text/markdown", "size": 7, "data": {}})


@pytest.mark.timeout(180)
async def test_redoc_shows_every_operation_and_finds(url: str, visitor: Client) -> None:
    described = (await visitor.get("/openapi.json")).body
    names = [operation["operationId"] for item in described["paths"].values() for operation in item.values()]
    async with opened(url, "/redoc") as page:
        await expect(page.get_by_role("heading", name="Penstock")).to_be_visible()
        for name in names:
            await expect(page.locator(f"[id$='operation/{name}']").first).to_be_attached(timeout=INDEXED_MS)
        await page.get_by_role("textbox").fill("account")
        await expect(page.get_by_role("search").get_by_text("Make an account")).to_be_visible(timeout=INDEXED_MS)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_pages_let_only_files_from_here_in(visitor: Client, path: str) -> None:
    async with visitor.session.get(f"{visitor.url}{path}") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert re.findall(r"https?://|<script>|\son\w+=", await response.text()) == []
