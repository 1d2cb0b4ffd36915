"""A corpus of files that are broken or mean harm, through the whole product: a reason for each, and nobody dies of it."""

import asyncio
from functools import partial

import pytest

from tests.api.conftest import Client
from tests.polling import until
from tests.workers.actors.hostile_files import Files, broken, odd
from tests.workers.actors.test_parsing import ada, app, bob, content, quick_passwords, send, services, settings, url, visitor, worker

__all__ = ["ada", "app", "bob", "quick_passwords", "services", "settings", "url", "visitor", "worker"]

WAIT_S = 240
AT_LEAST = 60


async def outcomes(client: Client, files: Files) -> dict[str, dict[str, str]]:
    """What is said of each file when it is over."""
    sent = {name: (await send(client, name, data))["id"] for name, data in files.items()}

    async def ended(file_id: str) -> dict[str, str] | None:
        data: dict[str, str] = (await client.get(f"/api/files/{file_id}")).body["data"]
        return data if data["status"] != "pending" else None

    found = await asyncio.gather(*(until(partial(ended, file_id), name, timeout_s=WAIT_S) for name, file_id in sent.items()))
    return dict(zip(sent, found, strict=True))


@pytest.mark.timeout(2 * WAIT_S)
@pytest.mark.usefixtures("worker")
async def test_each_ends_with_a_clear_reason_and_the_next_is_read(bob: Client) -> None:
    hopeless, strange = broken(), odd()
    assert len(hopeless) + len(strange) >= AT_LEAST
    found = await outcomes(bob, hopeless | strange)
    assert {name for name in hopeless if found[name]["status"] != "failed"} == set()
    for name, data in found.items():
        if data["status"] == "failed":
            reason = data["error"]
            assert len(reason) > 20, (name, reason)
            assert "on our side" not in reason, (name, reason)
            assert "Traceback" not in reason, (name, reason)
    sent = await send(bob, "good.txt", b"The mill grinds corn.")
    assert (await outcomes(bob, {"again.txt": b"The mill grinds corn."}))["again.txt"]["status"] == "completed"
    assert await content(bob, sent["id"]) == "The mill grinds corn."
    listed = [file["filename"] for file in (await bob.get("/api/files/")).body]
    assert not [name for name in listed if "/" in name or "\\" in name or "\u202e" in name or len(name.encode()) > 255]


@pytest.mark.parametrize(("data", "words"), [(b"", "The file is empty")])
async def test_what_is_empty_is_refused_at_once(bob: Client, data: bytes, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        await send(bob, "empty.txt", data)
