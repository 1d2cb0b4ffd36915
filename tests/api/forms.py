"""Forms with files as they travel."""

from typing import Any

from tests.api.conftest import Client

BOUNDARY = "a-boundary"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
Field = tuple[str, str | None, bytes]


def form(*fields: Field, end: str = "--") -> bytes:
    """Fields, each with its name, its file's name where it is a file, and its bytes."""
    return b"".join(_field(*field) for field in fields) + f"--{BOUNDARY}{end}\r\n".encode()


def file_form(data: bytes, name: str = "document.txt", *more: Field) -> bytes:
    """A form with one file."""
    return form(("file", name, data), *more)


async def uploaded(client: Client, data: bytes = b"Hello!", name: str = "document.txt", *more: Field) -> Any:
    """A file that was sent."""
    reply = await client.post("/api/files/", file_form(data, name, *more), headers=HEADERS)
    assert reply.status == 201, reply
    return reply.body


def _field(name: str, filename: str | None, data: bytes) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n'
    kind = "" if filename is None else "Content-Type: application/x-whatever\r\n"
    return f"{head}{kind}\r\n".encode("utf-8", "surrogateescape") + data + b"\r\n"
