"""The page of a shared chat in a real browser: signed in on it, read, and with nothing in it that runs."""

from typing import Any

from playwright.async_api import Page, expect

from tests.api.conftest import Client
from tests.browser import opened

PASSWORD = "correct horse battery"
ATTACK = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
ANSWER = """# A heading

The *Rhine* rises in the **Swiss Alps**, see [a map](https://example.com/map?a=1&b=2) or https://example.com/rhine.
Also [Basel](https://example.com/Basel_(city)?q=(x) "A title"), https://example.com/Chur_(city), (https://example.com/mouth).

الراين نهر

1. First `one()`
2. Second
   - nested **deep**

> quoted

| river | km |
|---|---|
| Rhine | 1233 |

```python
print("<b>not bold</b>")
```
[do not](javascript:alert(1)) <b>plain</b>"""
DOCUMENT: dict[str, Any] = {
    "title": f"Rivers {ATTACK}",
    "history": {
        "messages": {
            "q": {"id": "q", "role": "user", "content": f"Where does it rise? {ATTACK}", "parentId": None, "timestamp": 1_700_000_000},
            "no": {"id": "no", "role": "assistant", "content": "Of another branch.", "parentId": "q"},
            "a": {
                "id": "a",
                "role": "assistant",
                "content": ANSWER,
                "parentId": "q",
                "model": f"echo {ATTACK}",
                "timestamp": 1_700_000_005,
            },
            "p": {
                "id": "p",
                "role": "user",
                "parentId": "a",
                "content": [
                    {"type": "text", "text": "And this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg onload=alert(1)>"}},
                    {"type": "image_url", "image_url": {"url": "javascript:alert(1)"}},
                    {"type": "odd", "n": 1},
                ],
            },
            "e": {"id": "e", "role": "assistant", "content": "", "parentId": "p", "error": {"content": f"It broke. {ATTACK}"}},
        },
        "currentId": "e",
    },
}


async def sign_in(page: Page, client: Client, password: str) -> None:
    """As a visitor does."""
    await page.get_by_label("E-mail").fill(client.user["email"])
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def shared(client: Client, document: dict[str, Any]) -> tuple[str, str]:
    """The ids of a new chat and of its share."""
    chat_id = (await client.post("/api/chats/new", {"chat": document})).body["id"]
    return chat_id, (await client.post(f"/api/chats/{chat_id}/share", None)).body["share_id"]


async def test_a_visitor_signs_in_and_reads(url: str, bob: Client, eve: Client) -> None:
    _, share_id = await shared(bob, DOCUMENT)
    async with opened(url, f"/s/{share_id}", refusals=401) as page:
        await sign_in(page, eve, "a wrong password")
        await expect(page.get_by_role("alert")).to_have_text("The e-mail address or the password is wrong.")
        await sign_in(page, eve, PASSWORD)
        await expect(page.get_by_text("Shared by Bob")).to_be_visible()
        await expect(page.locator("header h1")).to_have_text(DOCUMENT["title"])
        await expect(page.locator("article")).to_have_count(4)
        await page.reload()
        await expect(page.get_by_text("Shared by Bob")).to_be_visible()


async def test_markdown_is_shown_and_nothing_that_was_written_runs(url: str, bob: Client, eve: Client) -> None:
    _, share_id = await shared(bob, DOCUMENT)
    async with opened(url, f"/s/{share_id}", refusals=401) as page:
        await sign_in(page, eve, PASSWORD)
        question, answer, parts, failure = (page.locator("article").nth(place) for place in range(4))
        await expect(question).to_contain_text(f"Where does it rise? {ATTACK}")
        await expect(answer.get_by_role("heading", name="A heading")).to_be_visible()
        await expect(answer.locator("strong").nth(1)).to_have_text("Swiss Alps")
        await expect(answer.locator("em")).to_have_text("Rhine")
        await expect(answer.locator("ol > li")).to_have_count(2)
        await expect(answer.locator("ol ul > li strong")).to_have_text("deep")
        await expect(answer.locator("blockquote")).to_have_text("quoted")
        await expect(answer.locator("td")).to_have_text(["Rhine", "1233"])
        await expect(answer.locator("pre")).to_have_text('print("<b>not bold</b>")')
        await expect(answer).to_contain_text("[do not](javascript:alert(1)) <b>plain</b>")
        addresses = [str(await link.get_attribute("href")) for link in await page.locator("article a").all()]
        assert [address.removeprefix("https://example.com/") for address in addresses] == [
            "map?a=1&b=2",
            "rhine",
            "Basel_(city)?q=(x)",
            "Chur_(city)",
            "mouth",
        ]
        arabic = page.locator("p", has_text="الراين")
        assert await arabic.evaluate("each => getComputedStyle(each).unicodeBidi") == "plaintext"
        await expect(parts).to_contain_text('"odd"')
        await expect(failure).to_contain_text(f"It broke. {ATTACK}")
        assert await page.locator("script").count() == 1
        assert await page.locator("article img, article script, article svg").count() == 0
        assert await page.title() == DOCUMENT["title"]


async def test_a_chat_that_is_not_shared_any_more_says_so(url: str, bob: Client, eve: Client) -> None:
    chat_id, share_id = await shared(bob, {"title": "Short", "messages": []})
    async with opened(url, f"/s/{share_id}", refusals=401) as page:
        await sign_in(page, eve, PASSWORD)
        await expect(page.get_by_text("Nothing has been said in this chat.")).to_be_visible()
    await bob.delete(f"/api/chats/{chat_id}/share")
    async with opened(url, "/docs", refusals=404) as page:
        await page.context.add_cookies([{"name": "token", "value": eve.token, "url": url, "httpOnly": True, "sameSite": "Lax"}])
        await page.goto(f"{url}/s/{share_id}")
        await expect(page.get_by_role("heading", name="Not there any more")).to_be_visible()
