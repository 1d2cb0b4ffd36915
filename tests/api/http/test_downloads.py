"""How a file is sent: ranges, conditions, and what a browser is told of it."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from api.http import downloads
from api.http.downloads import disposition
from core.settings import Settings
from tests.api.conftest import Client
from tests.api.forms import uploaded
from tests.polling import until

DATA = bytes(range(256)) * 3_000
SIZE = len(DATA)
PNG = b"\x89PNG\r\n\x1a\n" + DATA


async def read(client: Client, file: Any, *, method: str = "GET", query: str = "", **headers: str) -> tuple[int, Any, bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    address = f"{client.url}/api/files/{file['id']}/content{query}"
    async with client.session.request(method, address, headers={**client.headers, **sent}) as response:
        return response.status, response.headers, await response.read()


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=5-9", 5, 10),
        ("bytes=262143-262144", 262_143, 262_145),
        ("bytes=100-999999999", 100, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-999999999", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    ],
)
async def test_a_range_is_answered_with_that_part(bob: Client, asked: str, start: int, end: int) -> None:
    status, headers, body = await read(bob, await uploaded(bob, DATA), Range=asked)
    assert (status, body) == (206, DATA[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 9}", "bytes=-0"])
async def test_a_range_that_is_not_there_is_refused_with_the_length(bob: Client, asked: str) -> None:
    reply = await bob.get(f"/api/files/{(await uploaded(bob, DATA))['id']}/content", headers={"Range": asked})
    assert (reply.status, list(reply.body), reply.headers["Content-Range"]) == (416, ["detail"], f"bytes */{SIZE}")


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=-", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes", "bytes=0x1-2"])
async def test_a_range_that_cannot_be_read_and_several_are_answered_with_all(bob: Client, asked: str) -> None:
    status, headers, body = await read(bob, await uploaded(bob, DATA), Range=asked)
    assert (status, body, headers["Accept-Ranges"]) == (200, DATA, "bytes")


async def test_who_has_it_is_told_so(bob: Client) -> None:
    file = await uploaded(bob, DATA)
    tag = (await read(bob, file))[1]["ETag"]
    assert tag == f'"{file["hash"]}"'
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, headers, body = await read(bob, file, If_None_Match=known)
        assert (status, headers["ETag"], body) == (304, tag, b"")
    assert (await read(bob, file, If_None_Match='"other"'))[0] == 200


async def test_the_rest_of_another_version_is_answered_with_all(bob: Client) -> None:
    file = await uploaded(bob, DATA)
    assert (await read(bob, file, Range="bytes=5-", If_Range=f'"{file["hash"]}"'))[0] == 206
    for other in ('"other"', f'W/"{file["hash"]}"', "Sat, 29 Oct 1994 19:43:31 GMT"):
        assert (await read(bob, file, Range="bytes=5-", If_Range=other))[::2] == (200, DATA)


async def test_a_head_is_answered_without_bytes(bob: Client) -> None:
    status, headers, body = await read(bob, await uploaded(bob, DATA), method="HEAD", Range="bytes=0-1")
    assert (status, headers["Content-Length"], body) == (200, str(SIZE), b"")


@pytest.mark.parametrize(
    ("data", "name", "kind", "way"),
    [
        (b"<html><script>alert(1)</script>", "a.txt", "text/html; charset=utf-8", "attachment"),
        (b"<svg onload='alert(1)'/>", "a.png", "image/svg+xml", "attachment"),
        (b"<?xml version='1.0'?><a/>", "a.xml", "application/xml", "attachment"),
        (DATA, "a.bin", "application/octet-stream", "attachment"),
        (PNG, "a.html", "image/png", "inline"),
        (b"%PDF-1.4", "a.pdf", "application/pdf", "inline"),
        (b"Hello!", "a.txt", "text/plain; charset=utf-8", "inline"),
    ],
)
async def test_a_browser_shows_only_what_can_do_no_harm(bob: Client, data: bytes, name: str, kind: str, way: str) -> None:
    file = await uploaded(bob, data, name)
    _, headers, _ = await read(bob, file)
    assert (headers["Content-Type"], headers["Content-Disposition"]) == (kind, f'{way}; filename="{name}"')
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "private, no-cache")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert ("sandbox" in headers["Content-Security-Policy"]) == (kind != "application/pdf")
    assert (await read(bob, file, query="?attachment=true"))[1]["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain name.txt", 'attachment; filename="plain name.txt"'),
        ('a"b\\c.txt', "attachment; filename=\"a_b_c.txt\"; filename*=UTF-8''a%22b%5Cc.txt"),
        ("naïve €.txt", "attachment; filename=\"na_ve _.txt\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt"),
        ("100%41.txt", "attachment; filename=\"100_41.txt\"; filename*=UTF-8''100%2541.txt"),
        ("a;b='c.txt", 'attachment; filename="a;b=\'c.txt"'),
    ],
)
def test_a_name_is_written_so_that_every_client_reads_it(name: str, written: str) -> None:
    assert disposition(name, inline=False) == written


async def test_what_is_listed_but_gone_is_not_found(bob: Client, settings: Settings) -> None:
    file = await uploaded(bob, DATA)
    next(path for path in (settings.data_dir / "files").rglob(file["id"])).unlink()
    reply = await bob.get(f"/api/files/{file['id']}/content")
    assert (reply.status, list(reply.body)) == (404, ["detail"])


def ended(logs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The line of a download that is over."""
    return next((line for line in logs if line.get("path", "").endswith("/content")), None)


async def test_a_client_that_takes_no_more_of_it_is_let_go(bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "STALLED_S", 0.05)
    file = await uploaded(bob, DATA * 16)  # more than the buffers between the two hold
    with socket.socket() as connection, capture_logs() as logs:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        url = URL(bob.url)
        connection.connect((url.host, url.port))
        connection.sendall(f"GET /api/files/{file['id']}/content HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bob.token}\r\n\r\n".encode())
        line = await until(lambda: ended(logs), "it is let go")
    assert line["status"] == 499
    assert not [line for line in logs if line["event"] == "unhandled error"]


async def test_who_is_signed_out_meanwhile_reads_no_further(bob: Client) -> None:
    file = await uploaded(bob, DATA * 16)
    with capture_logs() as logs:
        async with bob.session.get(f"{bob.url}/api/files/{file['id']}/content", headers=bob.headers) as response:
            assert await response.content.readany()
            await bob.post("/api/auths/signout", None)
            assert (await until(lambda: ended(logs), "it breaks off"))["status"] == 499
            with pytest.raises(aiohttp.ClientError):
                await response.read()
