"""Forms as programs write them, cut into pieces wherever a network cuts them."""

import asyncio
import random
from typing import Any

import pytest
from aiohttp import FormData, StreamReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from api.http.multipart import PIECE_BYTES, Multipart, Part
from core.errors import BadRequest

KIND = "multipart/form-data; boundary=XX"
SOME = random.Random(5).randbytes(3 * PIECE_BYTES)


def form(body: bytes, kind: str = KIND, *, cuts: tuple[int, ...] = ()) -> Multipart:
    """A form whose bytes come in these lengths, and then the rest."""
    loop = asyncio.get_running_loop()
    reader = StreamReader(BaseProtocol(loop), 2**30, loop=loop)
    for length in cuts:
        reader.feed_data(body[:length])
        body = body[length:]
    if body:
        reader.feed_data(body)
    reader.feed_eof()
    return Multipart(reader, kind)


async def fields(multipart: Multipart) -> list[tuple[Part, bytes]]:
    found = []
    while part := await multipart.next():
        found.append((part, b"".join([piece async for piece in multipart.pieces()])))
    return found


def written(*bodies: bytes) -> bytes:
    head = b'--XX\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
    return b"".join(head + body + b"\r\n" for body in bodies) + b"--XX--\r\n"


@given(st.lists(st.binary() | st.sampled_from([b"\r\n--X", b"\r\n--", b"--XX", b"\r\n", b"\r\n--XY", b"-"])), st.lists(st.integers(1, 40)))
async def test_what_was_written_is_read_wherever_it_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    expected = [(Part("a", "b"), body) for body in bodies if b"\r\n--XX" not in body]
    assert await fields(form(written(*(body for _, body in expected)), cuts=tuple(cuts))) == expected


async def test_a_long_field_comes_in_pieces_as_it_comes() -> None:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    reader = StreamReader(protocol, 2**30, loop=loop)
    multipart = Multipart(reader, KIND)
    body = written(SOME)

    async def feed() -> None:
        for start in range(0, len(body), 65_536):
            reader.feed_data(body[start : start + 65_536])
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.create_task(feed())
    assert await multipart.next() == Part("a", "b")
    pieces = [piece async for piece in multipart.pieces()]
    await feeding
    assert b"".join(pieces) == SOME
    assert len(pieces) > 1
    assert await multipart.next() is None


async def test_what_is_not_read_is_passed_over_if_it_is_short() -> None:
    multipart = form(written(b"short", b"next"))
    await multipart.next()
    await multipart.next()
    assert await multipart.read(100) == b"next"
    multipart = form(written(SOME, b"next"))
    await multipart.next()
    with pytest.raises(BadRequest, match="more in it"):
        await multipart.next()


@pytest.mark.parametrize(
    ("head", "part"),
    [
        ('Content-Disposition: form-data; name="file"; filename="a;b; c.txt"', Part("file", "a;b; c.txt")),
        ("content-disposition:form-data;name=file;filename=plain.txt", Part("file", "plain.txt")),
        ('Content-Disposition: form-data; name="file"; filename="say \\"hi\\".txt"', Part("file", 'say "hi".txt')),
        ('Content-Disposition: form-data; name="file"; filename="say %22hi%22.txt"', Part("file", 'say "hi".txt')),
        ('Content-Disposition: form-data; name="file"; filename="C:\\dir\\a.txt"', Part("file", "C:\\dir\\a.txt")),
        ("Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''na%C3%AFve.txt", Part("file", "naïve.txt")),
        ('Content-Disposition: form-data; name="file"; filename="x"; filename*=utf-8\'\'y', Part("file", "y")),
        ('Content-Disposition: form-data; name="file"; filename="x"; filename*=latin-1\'x', Part("file", "x")),
        ('Content-Disposition: form-data; name="file"; filename="日本語.txt"', Part("file", "日本語.txt")),
        ('Content-Disposition: form-data; name="file"; filename=""', Part("file", "")),
        ('Content-Disposition: form-data; name="field"', Part("field", None)),
        ('X-Other: 1\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain', Part("a", None)),
        ('Content-Transfer-Encoding: binary\r\nContent-Disposition: form-data; name="a"', Part("a", None)),
    ],
)
async def test_names_are_read_as_programs_write_them(head: str, part: Part) -> None:
    assert await form(f"--XX\r\n{head}\r\n\r\nx\r\n--XX--".encode()).next() == part


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "it breaks off"),
        (b"--XX", "it breaks off"),
        (b"--XX\r\nContent-Disposition: form-data; name=a", "it breaks off"),
        (b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nsome", "it breaks off"),
        (b"--YY\r\n\r\n\r\n--YY--", "it breaks off"),
        (b"--XX\r\n\r\nx\r\n--XX--", "a field has no name"),
        (b"--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n--XX--", "a field has no name"),
        (b"--XXY\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--XX--", "something stands behind a boundary"),
        (b"--XX\r\nX: " + b"x" * 20_000, "headers do not end"),
        (b"--XX\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--XX--", "is encoded"),
        (b"x" * 1_000_000 + b"\r\n--XX\r\n", "more in it"),
    ],
)
async def test_what_cannot_be_read_is_told_why(body: bytes, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        await fields(form(body))


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; charset=utf-8"])
async def test_there_must_be_a_boundary(kind: str) -> None:
    with pytest.raises(BadRequest, match="names no boundary"):
        form(b"", kind)


async def test_an_empty_form_has_no_fields() -> None:
    assert await fields(form(b"--XX--\r\n")) == await fields(form(b"preamble\r\n--XX--")) == []


async def test_aiohttps_forms_are_read() -> None:
    data = FormData(quote_fields=False)
    data.add_field("metadata", "{}")
    data.add_field("file", SOME, filename="a.bin")
    writer: Any = data()
    gathered = bytearray()

    class Sink:
        async def write(self, piece: bytes) -> None:
            gathered.extend(piece)

    await writer.write(Sink())
    found = await fields(form(bytes(gathered), writer.headers["Content-Type"]))
    assert found == [(Part("metadata", None), b"{}"), (Part("file", "a.bin"), SOME)]
