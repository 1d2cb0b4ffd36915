"""Files that users sent."""

from enum import StrEnum
from typing import Any

import msgspec


class FileStatus(StrEnum):
    """What has become of a file's text. In Open WebUI's words."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a file; its bytes are kept elsewhere, under the same id. Times are Unix seconds.

    ``content_type``: what the bytes are, whatever was said of them; ``size``: in bytes; ``hash``: their SHA-256, in hexadecimal;
    ``error``: why it failed; ``missing``: a sentence for each thing in it that could not be read; ``metadata``: what its sender said of it;
    ``on_demand``: it is read only when somebody needs its text.
    """

    id: str
    user_id: str
    filename: str
    content_type: str
    size: int
    hash: str
    created_at: int
    updated_at: int
    status: FileStatus = FileStatus.PENDING
    error: str | None = None
    missing: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    on_demand: bool | None = None
