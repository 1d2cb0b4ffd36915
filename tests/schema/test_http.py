"""GraphQL over HTTP, as its specification has it."""

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from core.models.users import Session
from tests.schema.asking import ME, SIGN_IN
from tests.schema.transports import Answer, bearer

RESPONSE_JSON = "application/graphql-response+json"


@pytest.mark.parametrize("accept", ["application/json", RESPONSE_JSON, f"{RESPONSE_JSON}; charset=utf-8, application/json;q=0.9"])
async def test_the_answer_has_the_media_type_that_was_asked_for(server: TestServer, ada: Session, accept: str) -> None:
    status, kind, body = await post(server, ME, accept, ada.token)
    assert (status, kind) == (200, RESPONSE_JSON if RESPONSE_JSON in accept else "application/json")
    assert body["data"]["me"]["id"] == ada.user.id


@pytest.mark.parametrize("query", ["{ me {", "{ nothing }", "query ($id: ID!) { chat(id: $id) { id } }"])
async def test_what_was_never_run_has_no_data_and_a_status_by_media_type(server: TestServer, ada: Session, query: str) -> None:
    for accept, expected in (("application/json", 200), (RESPONSE_JSON, 400)):
        status, _, body = await post(server, query, accept, ada.token)
        assert (status, "data" in body, body["errors"][0]["extensions"]["code"]) == (expected, False, "bad_request")


async def test_a_field_that_fails_is_no_failure_of_the_request(server: TestServer) -> None:
    status, _, body = await post(server, ME, RESPONSE_JSON)
    assert (status, body["data"], body["errors"][0]["extensions"]["code"]) == (200, None, "unauthenticated")


async def test_queries_come_by_get_and_mutations_do_not(server: TestServer, ada: Session) -> None:
    url = server.make_url("/graphql")
    async with aiohttp.ClientSession(headers=bearer(ada.token)) as session:
        async with session.get(url, params={"query": ME}) as response:
            assert (await response.json())["data"]["me"]["id"] == ada.user.id
        async with session.get(url, params={"query": 'mutation { createChat(input: {title: "x"}) { chat { id } } }'}) as response:
            assert response.status == 405
            assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "body", [b"{", b"{}", b"[]", b"1", b"null", b"\xff", b'{"query": 1}', b'{"query": "{me{id}}", "variables": 1}', b"[" * 100_000]
)
async def test_a_body_that_is_no_request_is_told_in_graphqls_own_shape(server: TestServer, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session, session.post(server.make_url("/graphql"), data=body, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["extensions"]["code"] == "bad_request"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_foreign_page_can_post_without_a_preflight_is_refused(server: TestServer, ada: Session, kind: str) -> None:
    url, cookie = server.make_url("/graphql"), {"token": ada.token}
    body = b'{"query": "mutation { createChat(input: {title: \\"x\\"}) { chat { id } } }"}'
    async with aiohttp.ClientSession(cookies=cookie) as session, session.post(url, data=body, headers={"Content-Type": kind}) as response:
        assert response.status == 415
        assert (await response.json())["errors"][0]["message"]


async def test_a_cookie_is_as_good_as_a_header(server: TestServer, ada: Session) -> None:
    async with (
        aiohttp.ClientSession(cookies={"token": ada.token}) as session,
        session.post(server.make_url("/graphql"), json={"query": ME}) as response,
    ):
        assert (await response.json())["data"]["me"]["id"] == ada.user.id


async def test_a_stale_token_does_not_hinder_signing_in(server: TestServer, ada: Session) -> None:
    assert (await post(server, ME, "application/json", "stale"))[2]["errors"][0]["extensions"]["code"] == "unauthenticated"
    variables = {"email": ada.user.email, "password": "correct horse"}
    _, _, body = await post(server, SIGN_IN, "application/json", "stale", variables)
    assert body["data"]["signIn"]["user"]["id"] == ada.user.id


async def post(
    server: TestServer, query: str, accept: str, token: str | None = None, variables: dict[str, str] | None = None
) -> tuple[int, str, Answer]:
    """Status, media type and body."""
    headers = {"Accept": accept, **bearer(token)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.make_url("/graphql"), json={"query": query, "variables": variables}, headers=headers) as response,
    ):
        return response.status, response.content_type, await response.json(content_type=None)
