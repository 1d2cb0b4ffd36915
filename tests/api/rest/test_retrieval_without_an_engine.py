"""Where nobody has set a search engine."""

from tests.api.conftest import Client


async def test_it_is_said_what_to_set(bob: Client) -> None:
    reply = await bob.post("/api/retrieval/web", {"query": "x"})
    assert (reply.status, "PENSTOCK_WEB_SEARCH" in reply.body["detail"]) == (503, True), reply
