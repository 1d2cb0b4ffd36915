"""How a file comes in: what of a form is taken, what is refused, and that nothing stays of what breaks off."""

import asyncio
import io
import random
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from structlog.testing import capture_logs
from yarl import URL

from api.http import pace
from core.services import Services
from core.settings import Settings
from tests.api.conftest import Client
from tests.api.forms import HEADERS, file_form, form, uploaded
from tests.polling import until

BYTES = random.Random(3).randbytes(700_000)
MB = 1_048_576


def kept(settings: Settings) -> list[Path]:
    """The bytes that lie in the data folder, finished or not."""
    return [path for path in (settings.data_dir / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (form(), "file is missing"),
        (form(("metadata", None, b"{}")), "file is missing"),
        (form(("upload", "a.txt", b"x")), "in a field that is called 'upload'. Call it 'file'"),
        (file_form(b""), "The file is empty"),
        (form(("file", "", b"")), "The file is empty"),
        (file_form(b"x", "a.txt", ("file", "b.txt", b"y")), "Send one at a time"),
        (file_form(b"x", "a.txt", ("metadata", None, b"{")), "metadata must be a JSON object"),
        (file_form(b"x", "a.txt", ("metadata", None, b"[1]")), "metadata must be a JSON object"),
        (form(("metadata", None, b"no"), ("file", "a.txt", b"x")), "metadata must be a JSON object"),
        (file_form(b"x", "a.txt", ("more", None, b"x" * 70_000)), "longer than 65536 bytes"),
        (file_form(b"x", "a.txt", *[("more", None, b"x")] * 20), "more than 16 fields"),
        (file_form(b"x")[:-10], "it breaks off"),
        (b"nothing of a form", "it breaks off"),
        (form(("file", "a.txt", b"x"), end="x\r\n\r\n"), "something stands behind a boundary"),
    ],
)
async def test_a_form_that_cannot_be_used_is_told_why_and_leaves_nothing(bob: Client, settings: Settings, body: bytes, told: str) -> None:
    reply = await bob.post("/api/files/", body, headers=HEADERS)
    assert (reply.status, told in reply.body["detail"]) == (400, True), reply
    assert (kept(settings), (await bob.get("/api/files/")).body) == ([], [])


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x", ""])
async def test_what_is_no_form_is_told_what_it_should_have_been(bob: Client, kind: str) -> None:
    reply = await bob.post("/api/files/", b"x", headers={"Content-Type": kind})
    assert (reply.status, "multipart/form-data" in reply.body["detail"]) == (415, True), reply


async def test_metadata_may_be_left_empty(bob: Client) -> None:
    for text in (b"", b" ", b"null", b"{}"):
        assert (await uploaded(bob, b"x", "a.txt", ("metadata", None, text)))["meta"]["data"] == {}


class TestLimits:
    """What the operator allows."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, max_upload_mb=2, upload_types=("text/*", "application/pdf"))

    async def test_what_is_too_large_is_refused_by_its_length(self, bob: Client, settings: Settings) -> None:
        reply = await bob.post("/api/files/", file_form(b"x" * 4 * MB), headers=HEADERS)
        assert (reply.status, reply.body) == (413, {"detail": "The file is larger than 2 MB, which is the limit."})
        assert kept(settings) == []

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_and_by_counting(self, bob: Client, settings: Settings, *, chunked: bool) -> None:
        body = file_form(b"x" * (2 * MB + 1))

        async def pieces() -> Any:
            yield body

        headers = {**bob.headers, **HEADERS}
        async with bob.session.post(f"{bob.url}/api/files/", data=pieces() if chunked else io.BytesIO(body), headers=headers) as response:
            assert (response.status, (await response.json())["detail"]) == (413, "The file is larger than 2 MB, which is the limit.")
        assert kept(settings) == []

    async def test_what_just_fits_is_taken(self, bob: Client) -> None:
        assert (await uploaded(bob, b"x" * 2 * MB))["meta"]["size"] == 2 * MB

    async def test_other_types_are_refused_whatever_they_are_called(self, bob: Client, settings: Settings) -> None:
        reply = await bob.post("/api/files/", file_form(b"\x89PNG\r\n\x1a\n" + BYTES, "report.pdf"), headers=HEADERS)
        assert (reply.status, reply.body["detail"]) == (
            415,
            "The file is image/png, which is not taken here: only text/*, application/pdf.",
        )
        assert kept(settings) == []
        for data in (b"%PDF-1.7\n", b"Hello!", b"a,b\n"):
            await uploaded(bob, data)

    async def test_the_limit_of_bodies_is_another_one(self, visitor: Client, bob: Client, settings: Settings) -> None:
        assert settings.max_body_mb > settings.max_upload_mb
        assert (await uploaded(bob, b"x" * 1_500_000))["meta"]["size"] == 1_500_000
        assert (await visitor.post("/api/files/", file_form(b"x" * 1_500_000), headers=HEADERS)).status == 401


class Slow:
    """Somebody who sends a part of a file and then waits."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        url = URL(self._client.url)
        self.reader, self._writer = await asyncio.open_connection(url.host, url.port)
        body = file_form(BYTES)
        head = f"POST /api/files/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self._client.token}\r\nContent-Length: {len(body)}\r\n"
        self._rest = body[600_000:]
        self._writer.write(f"{head}Content-Type: {HEADERS['Content-Type']}\r\n\r\n".encode() + body[:600_000])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def finish(self) -> None:
        self._writer.write(self._rest)

    async def status(self) -> int:
        return int((await self.reader.readuntil(b"\r\n")).split()[1])


async def test_an_upload_that_breaks_off_leaves_nothing(bob: Client, settings: Settings) -> None:
    with capture_logs() as logs:
        async with Slow(bob):
            await until(lambda: kept(settings), "it has begun")
        await until(lambda: not kept(settings), "nothing is left of it")
    assert not [line for line in logs if line["event"] == "unhandled error"]
    assert (await bob.get("/api/files/")).body == []


async def test_an_upload_that_no_longer_comes_is_not_waited_for(bob: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PATIENCE_S", 0.05)
    async with Slow(bob) as slow:
        assert await slow.status() == 408
    await until(lambda: not kept(settings), "nothing is left of it")


async def test_who_is_signed_out_meanwhile_sends_no_further(bob: Client, settings: Settings) -> None:
    async with Slow(bob) as slow:
        await until(lambda: kept(settings), "it has begun")
        await bob.post("/api/auths/signout", None)
        assert await slow.status() == 401
    await until(lambda: not kept(settings), "nothing is left of it")


async def test_a_deleted_users_files_go_too_also_one_that_just_comes(
    ada: Client, bob: Client, settings: Settings, services: Services
) -> None:
    await uploaded(bob)
    async with Slow(bob) as slow:
        await until(lambda: len(kept(settings)) == 2, "it has begun")
        assert (await ada.delete(f"/api/users/{bob.user['id']}")).status == 200
        slow.finish()
        assert await slow.status() in {401, 403}
    await until(lambda: not kept(settings), "nothing is left")
    assert (await ada.get("/api/files/?all=true")).body == []
    assert await services.files._rows.find(bob.user["id"]) == []
