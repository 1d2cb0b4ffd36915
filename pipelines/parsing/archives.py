"""Zip archives, looked at before anything opens them: how large they are when they are unpacked, whether they are whole."""

import io
import zipfile
from typing import IO

from core.errors import BadRequest
from pipelines.parsing.formats import DAMAGES, ENCRYPTED, describe_damage

MAX_EXPANDED_BYTES = 512 << 20
MAX_RATIO = 100
RATIO_FROM_BYTES = 16 << 20  # smaller ones may be packed as well as they like
MAX_MEMBERS = 20_000
MAX_DEPTH = 3

_ZIP = b"PK\x03\x04"
_ENCRYPTED_FLAG = 1
_READ_BYTES = 1 << 20


def check_archive(content: bytes) -> None:
    """Raises BadRequest for an archive that grows too large, is encrypted or damaged, and for archives in it that are.

    Sizes that the archive says are believed first, then every member is unpacked and counted: what it says may be a lie.
    """
    _check(io.BytesIO(content), len(content), MAX_EXPANDED_BYTES, 1)


def _check(file: IO[bytes], packed_bytes: int, allowed_bytes: int, depth: int) -> int:
    """How many bytes the archive and those in it unpack to."""
    if depth > MAX_DEPTH:
        message = f"It holds archives in archives, more than {MAX_DEPTH} deep. Unpack it and upload its files."
        raise BadRequest(message)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                message = f"It holds more than {MAX_MEMBERS:,} files, which is the limit here. Split it."
                raise BadRequest(message)
            if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
                raise BadRequest(ENCRYPTED)
            expanded = sum(member.file_size for member in members)
            _refuse_bombs(expanded, packed_bytes, allowed_bytes)
            for member in members:
                expanded += _check_member(archive, member, allowed_bytes - expanded, depth)
                _refuse_bombs(expanded, packed_bytes, allowed_bytes)
    except DAMAGES as error:
        raise BadRequest(describe_damage(error)) from error
    return expanded


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, allowed_bytes: int, depth: int) -> int:
    """Reads it to its end, where its checksum is compared; how much more it holds, if it is an archive itself."""
    with archive.open(member) as file:
        beginning = file.read(len(_ZIP))
        if beginning == _ZIP:
            inner = beginning + file.read()
            return _check(io.BytesIO(inner), len(inner), allowed_bytes, depth + 1)
        while file.read(_READ_BYTES):
            pass
    return 0


def _refuse_bombs(expanded: int, packed_bytes: int, allowed_bytes: int) -> None:
    if expanded > allowed_bytes or (expanded > RATIO_FROM_BYTES and expanded > MAX_RATIO * packed_bytes):
        message = (
            f"It is too large when it is unpacked: more than {MAX_EXPANDED_BYTES >> 20} MiB, or more than {MAX_RATIO} times its size."
            " Split it into smaller files."
        )
        raise BadRequest(message)
