"""The form that a file is sent in: what stands around its bytes, and these in pieces."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import BinaryIO

import msgspec

from penstock.local_files import PIECE_BYTES, LocalFile


def around(file: LocalFile, base_id: str) -> tuple[bytes, bytes, str]:
    """What stands before the file and behind it in a form that says where it lies, and the form's media type."""
    boundary = uuid.uuid4().hex
    name = file.path.rpartition("/")[2].replace('"', "%22")
    about = msgspec.json.encode({"path": file.path, "knowledge_id": base_id})
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'.encode() + about
    head += f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return head, f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


async def pieces(head: bytes, opened: BinaryIO, size: int, tail: bytes) -> AsyncGenerator[bytes, None]:
    """As many bytes of the file as were said: one that grows is sent as it was."""
    yield head
    while size:
        piece = await asyncio.to_thread(opened.read, min(PIECE_BYTES, size))
        if not piece:
            break
        size -= len(piece)
        yield piece
    yield tail
