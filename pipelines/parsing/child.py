"""What a child is called for: a file read, or why it cannot be."""

from pathlib import Path

import msgspec

from core.errors import BadRequest
from core.models.documents import FileRead, ReadFile
from pipelines.parsing import parse


def read_file(payload: bytes) -> bytes:
    """From a ReadFile to a FileRead, both as JSON. A refusal is its result: an error it raises is a bug."""
    asked = msgspec.json.decode(payload, type=ReadFile)
    try:
        read = FileRead(document=parse(Path(asked.path), asked.filename))
    except BadRequest as error:
        read = FileRead(refusal=error.detail)
    return msgspec.json.encode(read)
