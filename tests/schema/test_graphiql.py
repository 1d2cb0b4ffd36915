"""The GraphiQL page in a real browser: nothing from elsewhere, a query, and a subscription with the token of the Headers editor."""

import json

import aiohttp
from playwright.async_api import Page, expect

from core.models.chats import SendMessage
from core.models.completions import Usage
from core.models.events import Delta, Finished, Started
from core.models.jobs import JobStatus
from core.models.users import Session
from core.redis.keys import events_key
from core.services import Services
from tests.browser import opened
from tests.polling import until


async def write(page: Page, editor: str, text: str) -> None:
    """Replace what an editor holds."""
    found = page.get_by_role("region", name=editor).locator(".graphiql-editor:not(.hidden) .CodeMirror")
    await found.evaluate("(element, text) => element.CodeMirror.setValue(text)", text)


async def run(page: Page, operation: str, name: str) -> None:
    """Write an operation under a name, and press Play once the page knows it: what is typed is read with a delay."""
    await write(page, "Query Editor", operation)
    known = "(name) => JSON.parse(localStorage.getItem('graphiql:tabState') ?? '{}').tabs?.some((tab) => tab.operationName === name)"
    await page.wait_for_function(known, arg=name)
    await page.get_by_role("button", name="Execute query").click()


async def test_the_page_asks_and_listens(url: str, services: Services, ada: Session) -> None:
    principal = await services.users.authenticate(ada.token)
    chat = (await services.chats.create(principal, {"title": "Rivers"})).chat
    spec, _, _ = await services.generations.reply(principal, SendMessage(chat_id=chat.id, content="Where does it flow?"))
    claim = await services.claims.claim(spec.id, "worker")
    assert claim
    async with opened(url, "/graphql") as page:
        result = page.locator(".result-window")
        await expect(page.get_by_text("Welcome to Penstock")).to_be_visible()
        await write(page, "Headers", json.dumps({"Authorization": f"Bearer {ada.token}"}))
        await run(page, "query Me { me { name role } }", "Me")
        await expect(result).to_contain_text('"name": "Ada"')
        follow = f'subscription Follow {{ generation(id: "{spec.id}") {{ __typename id ... on GenerationDelta {{ text }} }} }}'
        await run(page, follow, "Follow")
        await services.claims.append(claim, 1, (Started(model="echo", attempt=1), Delta(text="To the sea.")))
        await expect(result).to_contain_text("To the sea.")
        end = (Finished(usage=Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)),)
        await services.claims.append(claim, 3, end, end=JobStatus.FINISHED)
        await expect(result).to_contain_text("GenerationFinished")
        await expect(result).to_contain_text('"answerSoFar": "To the sea."')


async def test_stopping_a_subscription_closes_its_websocket(url: str, services: Services, ada: Session) -> None:
    principal = await services.users.authenticate(ada.token)
    chat = (await services.chats.create(principal, {"title": "Rivers"})).chat
    spec, _, _ = await services.generations.reply(principal, SendMessage(chat_id=chat.id, content="Where does it flow?"))
    async with opened(url, "/graphql") as page:
        await expect(page.get_by_text("Welcome to Penstock")).to_be_visible()
        await write(page, "Headers", json.dumps({"Authorization": f"Bearer {ada.token}"}))
        await run(page, f'subscription Follow {{ generation(id: "{spec.id}") {{ id }} }}', "Follow")
        await until(lambda: listened(services, spec.id, 1), "the page listens")
        await page.get_by_role("button", name="Stop query").click()
        await until(lambda: listened(services, spec.id, 0), "nobody listens")


async def listened(services: Services, generation_id: str, by: int) -> bool:
    """Whether so many connections are subscribed to a generation's log."""
    ((_, count),) = await services.redis.pubsub_numsub(events_key(generation_id))
    return int(count) == by


async def test_the_page_lets_only_local_files_in(url: str) -> None:
    async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as session, session.get(f"{url}/graphql") as response:
        policy = response.headers["Content-Security-Policy"]
        page = await response.text()
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "http" not in page


async def test_a_client_that_is_no_browser_gets_no_page(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/graphql") as response:
        assert (response.status, response.content_type) == (400, "application/json")
