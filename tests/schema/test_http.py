"""GraphQL over HTTP, as its specification has it."""

import asyncio

import aiohttp
import pytest

from core.models.users import Session
from tests.schema.graphql_documents import FOLLOW, ME, SIGN_IN
from tests.schema.transports import CLIENTS, Answer, bearer, node_client

RESPONSE_JSON = "application/graphql-response+json"


@pytest.mark.parametrize("accept", ["application/json", RESPONSE_JSON, f"{RESPONSE_JSON}; charset=utf-8, application/json;q=0.9"])
async def test_the_answer_has_the_media_type_that_was_asked_for(url: str, ada: Session, accept: str) -> None:
    status, kind, body = await post(url, ME, accept, ada.token)
    assert (status, kind) == (200, RESPONSE_JSON if RESPONSE_JSON in accept else "application/json")
    assert body["data"]["me"]["id"] == ada.user.id


@pytest.mark.parametrize("query", ["{ me {", "{ nothing }", "query ($id: ID!) { chat(id: $id) { id } }"])
async def test_what_was_never_run_has_no_data_and_a_status_by_media_type(url: str, ada: Session, query: str) -> None:
    for accept, expected in (("application/json", 200), (RESPONSE_JSON, 400)):
        status, _, body = await post(url, query, accept, ada.token)
        assert (status, "data" in body, body["errors"][0]["extensions"]["code"]) == (expected, False, "bad_request")


@pytest.mark.parametrize("query", ["{ me {", "{ nothing }", "subscription { nothing }"])
async def test_what_was_never_run_costs_a_place_of_the_rate_limit_too(url: str, bob: Session, query: str) -> None:
    for headers in (bearer(bob.token), {}):
        left = []
        for _ in range(2):
            async with aiohttp.ClientSession(headers=headers) as session, session.post(f"{url}/graphql", json={"query": query}) as response:
                assert (response.status, "errors" in await response.json()) == (200, True)
                left.append(int(response.headers["X-RateLimit-Remaining"]))
        assert left[0] - left[1] == 1


async def test_a_field_that_fails_is_no_failure_of_the_request(url: str) -> None:
    status, _, body = await post(url, ME, RESPONSE_JSON)
    assert (status, body["data"], body["errors"][0]["extensions"]["code"]) == (200, None, "unauthenticated")


async def test_queries_come_by_get_and_mutations_do_not(url: str, ada: Session) -> None:
    async with aiohttp.ClientSession(headers=bearer(ada.token)) as session:
        async with session.get(f"{url}/graphql", params={"query": ME}) as response:
            assert (await response.json())["data"]["me"]["id"] == ada.user.id
        async with session.get(
            f"{url}/graphql", params={"query": 'mutation { createChat(input: {title: "x"}) { chat { id } } }'}
        ) as response:
            assert response.status == 405
            assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "body", [b"{", b"{}", b"[]", b"1", b"null", b"\xff", b'{"query": 1}', b'{"query": "{me{id}}", "variables": 1}', b"[" * 100_000]
)
async def test_a_body_that_is_no_request_is_told_in_graphqls_own_shape(url: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/graphql", data=body, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["extensions"]["code"] == "bad_request"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_foreign_page_can_post_without_a_preflight_is_refused(url: str, ada: Session, kind: str) -> None:
    cookie, headers = {"token": ada.token}, {"Content-Type": kind}
    body = b'{"query": "mutation { createChat(input: {title: \\"x\\"}) { chat { id } } }"}'
    async with aiohttp.ClientSession(cookies=cookie) as session, session.post(f"{url}/graphql", data=body, headers=headers) as response:
        assert response.status == 415
        assert (await response.json())["errors"][0]["message"]


async def test_a_subscription_by_post_is_told_where_it_belongs(url: str, ada: Session) -> None:
    status, _, body = await post(url, FOLLOW, RESPONSE_JSON, ada.token, {"id": "x"})
    assert (status, body["errors"][0]["extensions"]["code"]) == (400, "bad_request")
    assert "websocket" in body["errors"][0]["message"]


async def test_a_cookie_is_as_good_as_a_header(url: str, ada: Session) -> None:
    async with (
        aiohttp.ClientSession(cookies={"token": ada.token}) as session,
        session.post(f"{url}/graphql", json={"query": ME}) as response,
    ):
        assert (await response.json())["data"]["me"]["id"] == ada.user.id


async def test_a_cookie_that_comes_with_another_origins_page_does_not_count(url: str, ada: Session) -> None:
    for origin, told in ((url, True), ("http://127.0.0.1:1", False), ("https://elsewhere.example", False), ("null", False)):
        _, _, body = await post(url, ME, "application/json", origin=origin, cookie=ada.token)
        assert (body["data"] is not None) is told


async def test_an_answer_says_what_is_left_of_the_rate_limit(url: str, bob: Session) -> None:
    async with aiohttp.ClientSession(headers=bearer(bob.token)) as session:
        for left in (99, 98):
            async with session.post(f"{url}/graphql", json={"query": ME}) as response:
                assert response.headers["X-RateLimit-Remaining"] == str(left)


async def test_a_stale_token_does_not_hinder_signing_in(url: str, ada: Session) -> None:
    assert (await post(url, ME, "application/json", "stale"))[2]["errors"][0]["extensions"]["code"] == "unauthenticated"
    variables = {"email": ada.user.email, "password": "correct horse"}
    _, _, body = await post(url, SIGN_IN, "application/json", "stale", variables)
    assert body["data"]["signIn"]["user"]["id"] == ada.user.id


async def test_every_audit_of_the_specification_passes(url: str) -> None:
    node_client("graphql-http")
    process = await asyncio.create_subprocess_exec("node", str(CLIENTS / "audit.mjs"), f"{url}/graphql", stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    *faults, count = printed.decode().splitlines()
    assert faults == []
    assert int(count) >= 60


async def post(
    url: str, query: str, accept: str, token: str | None = None, variables: Answer | None = None, *, origin: str = "", cookie: str = ""
) -> tuple[int, str, Answer]:
    """Status, media type and body."""
    headers = {"Accept": accept, **bearer(token), **({"Origin": origin} if origin else {})}
    session = aiohttp.ClientSession(cookies={"token": cookie} if cookie else {}, headers=headers)
    async with session, session.post(f"{url}/graphql", json={"query": query, "variables": variables}) as response:
        return response.status, response.content_type, await response.json(content_type=None)
