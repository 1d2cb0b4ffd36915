"""Files over REST: what is sent, what is refused, and who sees it."""

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.settings import Settings
from tests.api.conftest import Client, sign_up
from tests.api.forms import uploaded

PDF = b"%PDF-1.7\n" + b"x" * 1_000
BYTES = random.Random(3).randbytes(700_000)
MB = 1_048_576


def kept(settings: Settings) -> list[Path]:
    """The bytes that lie in the data folder, finished or not."""
    return [path for path in (settings.data_dir / "files").rglob("*") if path.is_file()]


async def read(client: Client, file_id: str, **headers: str) -> tuple[int, Any, bytes]:
    address = f"{client.url}/api/files/{file_id}/content"
    async with client.session.get(address, headers={**client.headers, **headers}) as response:
        return response.status, response.headers, await response.read()


async def test_a_file_is_sent_listed_read_and_deleted(bob: Client, settings: Settings) -> None:
    sent = await uploaded(bob, BYTES, "document.pdf", ("metadata", None, b'{"source": "mail"}'))
    assert sent == {
        "id": sent["id"],
        "user_id": bob.user["id"],
        "filename": "document.pdf",
        "hash": hashlib.sha256(BYTES).hexdigest(),
        "data": {"status": "pending"},
        "meta": {"name": "document.pdf", "content_type": "application/octet-stream", "size": 700_000, "data": {"source": "mail"}},
        "created_at": sent["created_at"],
        "updated_at": sent["created_at"],
        "status": True,
    }
    known = {name: value for name, value in sent.items() if name != "status"}
    assert (await bob.get(f"/api/files/{sent['id']}")).body == known
    assert (await bob.get("/api/files/")).body == (await bob.get("/api/files")).body == [known]
    assert (await read(bob, sent["id"]))[::2] == (200, BYTES)
    gone = await bob.delete(f"/api/files/{sent['id']}")
    assert (gone.status, gone.body["message"]) == (200, "File deleted successfully")
    for reply in (await bob.get(f"/api/files/{sent['id']}"), await bob.delete(f"/api/files/{sent['id']}")):
        assert reply.status == 404
    assert ((await bob.get("/api/files/")).body, kept(settings)) == ([], [])


async def test_any_client_can_send_one(bob: Client) -> None:
    """As a library writes forms: here aiohttp's, piece by piece, without a length."""

    async def pieces() -> Any:
        for start in range(0, len(BYTES), 50_000):
            yield BYTES[start : start + 50_000]

    writer = aiohttp.FormData(quote_fields=False)
    writer.add_field("metadata", "{}")
    writer.add_field("file", pieces(), filename="Übersicht (neu); a, b; c.bin")
    async with bob.session.post(f"{bob.url}/api/files/", data=writer, headers=bob.headers) as response:
        assert response.status == 201, await response.text()
        sent = await response.json()
    assert sent["filename"] == "Übersicht (neu); a, b; c.bin"
    assert (await read(bob, sent["id"]))[2] == BYTES


async def test_a_list_comes_in_pages_the_newest_first(bob: Client, eve: Client) -> None:
    ids = [(await uploaded(bob, str(number).encode()))["id"] for number in range(5)][::-1]
    await uploaded(eve)

    async def listed(query: str) -> list[str]:
        reply = await bob.get(f"/api/files/{query}")
        assert (reply.status, reply.headers["X-Total-Count"]) == (200, "5")
        return [file["id"] for file in reply.body]

    assert await listed("") == ids
    assert await listed("?limit=2") == await listed("?limit=2&page=1") == ids[:2]
    assert await listed("?limit=2&page=3") == await listed(f"?after={ids[3]}") == ids[4:]
    assert await listed(f"?after={ids[0]}&limit=2") == ids[1:3]
    assert (await bob.get("/api/files/?after=nothing")).status == 400


async def test_files_are_found_by_a_pattern_for_their_names(bob: Client, eve: Client) -> None:
    for name in ("report.txt", "Report 2.TXT", "notes.md", "[draft].txt", "日本語.pdf", "Straße.md"):
        await uploaded(bob, name.encode(), name)
    await uploaded(eve, b"x", "hers.txt")

    async def found(pattern: str, **more: str) -> set[str]:
        reply = await bob.get("/api/files/search", params={"filename": pattern, **more})
        assert reply.status == 200, reply
        return {file["filename"] for file in reply.body}

    assert await found("*.txt") == {"report.txt", "Report 2.TXT", "[draft].txt"}
    assert await found("report*") == {"report.txt", "Report 2.TXT"}
    assert await found("report.txt") == {"report.txt"}
    assert await found("report ?.txt") == {"Report 2.TXT"}
    assert await found("*本*") == {"日本語.pdf"}
    assert await found("STRASSE*") == {"Straße.md"}
    assert await found("[[]*") == {"[draft].txt"}
    assert await found("report") == set()
    assert len(await found("*", limit="2", page="3")) == 2
    assert await found("*", limit="2", page="4") == set()
    assert (await bob.get("/api/files/search")).status == 400


async def test_administrators_see_everybodys_when_they_ask_for_them(ada: Client, bob: Client) -> None:
    hers, his = await uploaded(ada, b"hers"), await uploaded(bob, b"his")
    assert [file["id"] for file in (await ada.get("/api/files/")).body] == [hers["id"]]
    assert {file["id"] for file in (await ada.get("/api/files/?all=true")).body} == {hers["id"], his["id"]}
    assert len((await ada.get("/api/files/search?filename=*&all=true")).body) == 2
    for path in ("/api/files/?all=true", "/api/files/search?filename=*&all=true"):
        assert (await bob.get(path)).status == 403
    assert (await ada.delete(f"/api/files/{his['id']}")).status == 200


async def test_to_a_stranger_a_file_is_not_there(bob: Client, eve: Client) -> None:
    file_id = (await uploaded(bob))["id"]
    for reply in (
        await eve.get(f"/api/files/{file_id}"),
        await eve.get(f"/api/files/{file_id}/content"),
        await eve.delete(f"/api/files/{file_id}"),
    ):
        assert (reply.status, reply.body["detail"].split(".")[0]) == (404, "There is no such file")
    assert (await eve.get("/api/files/")).body == (await eve.get("/api/files/search?filename=*")).body == []
    assert (await bob.get(f"/api/files/{file_id}")).status == 200


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../../etc/passwd", "passwd"),
        ("..", "file"),
        ("C:\\Users\\Ada\\secret.doc", "secret.doc"),
        ("/etc/cron.d/x", "x"),
        ("a%22b.txt", 'a"b.txt'),
        ("a%0D%0ASet-Cookie: b.txt", "aSet-Cookie: b.txt"),
        ("résumé 日本語 👍.txt", "résumé 日本語 👍.txt"),
        ("\udce9t\udce9.txt", "été.txt"),
        ("gnp.\u202etxt.exe", "gnp.txt.exe"),
        ("x" * 500 + ".txt", "x" * 251 + ".txt"),
    ],
)
async def test_a_name_is_a_name_and_no_path(bob: Client, settings: Settings, given: str, name: str) -> None:
    sent = await uploaded(bob, b"x", given)
    assert sent["filename"] == sent["meta"]["name"] == name
    assert [path.name for path in kept(settings)] == [sent["id"]]
    assert (await read(bob, sent["id"]))[::2] == (200, b"x")


async def test_what_it_is_its_bytes_say(bob: Client) -> None:
    told = {"photo.png": PDF, "page.txt": b"<!doctype html><p>Hello", "data.csv": b"a,b\n1,2\n", "picture.svg": b"<svg xmlns='x'/>"}
    kinds = [(await uploaded(bob, data, name))["meta"]["content_type"] for name, data in told.items()]
    assert kinds == ["application/pdf", "text/html", "text/csv", "image/svg+xml"]


async def test_many_send_at_once(visitor: Client, bob: Client) -> None:
    eve = await sign_up(visitor, "Eve")
    data = [BYTES[number:] for number in range(12)]
    sent = await asyncio.gather(*(uploaded((bob, eve)[number % 2], each, f"{number}.bin") for number, each in enumerate(data)))
    for number, (file, each) in enumerate(zip(sent, data, strict=True)):
        assert (await read((bob, eve)[number % 2], file["id"]))[2] == each
