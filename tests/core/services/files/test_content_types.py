"""What files are, by real ones where a library writes them."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable

import docx
import pptx
import pytest

from core.services.files.content_types import HEAD_BYTES, allows, sniff

OFFICE = "application/vnd.openxmlformats-officedocument."


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    written = io.BytesIO()
    save(written)
    return written.getvalue()[:HEAD_BYTES]


def zipped(*members: tuple[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return written.getvalue()


def tarred() -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return written.getvalue()


ODT = "application/vnd.oasis.opendocument.text"
REAL = {
    f"{OFFICE}wordprocessingml.document": saved(docx.Document().save),
    f"{OFFICE}spreadsheetml.sheet": saved(pytest.importorskip("openpyxl").Workbook().save),
    f"{OFFICE}presentationml.presentation": saved(pptx.Presentation().save),
    "application/epub+zip": zipped(("mimetype", b"application/epub+zip"), ("a", b"")),
    ODT: zipped(("mimetype", ODT.encode()), ("a", b"")),
    "application/zip": zipped(("word/notes.txt", b"x")),
    "application/gzip": gzip.compress(b"x"),
    "application/x-tar": tarred(),
}


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("name", ["a.txt", "a", "a.pdf"])
def test_a_container_is_known_whatever_it_is_called(kind: str, name: str) -> None:
    assert sniff(REAL[kind], name) == kind


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"", "a.pdf", "text/plain"),
        (b"Hello!", "a.pdf", "text/plain"),
        (b"Hello!", "a", "text/plain"),
        ("Grüße".encode("cp1252"), "a.txt", "text/plain"),
        ("Grüße".encode("utf-16"), "a.md", "text/markdown"),
        ("日本語".encode("shift-jis"), "a.txt", "text/plain"),
        (b"a,b\n", "A.CSV", "text/csv"),
        (b"{}", "a.json", "application/json"),
        (b"def f(): ...", "a.py", "text/x-python"),
        (b"From: a@example.com\n", "a.eml", "message/rfc822"),
        (b"\x1b[31mred\x1b[0m in a log\n", "a.log", "text/plain"),
        (b"page\x0cbreak", "a.txt", "text/plain"),
        (b"\x00\x01\x02", "a.txt", "application/octet-stream"),
        (b"text and \x00", "a.txt", "application/octet-stream"),
        (bytes(range(1, 32)) * 9, "a.txt", "application/octet-stream"),
        (b"junk before\n%PDF-1.4", "a.txt", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "a.html", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8", "a", "image/webp"),
        (b"01234567WEBP", "a", "text/plain"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.xls", "application/vnd.ms-excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.html", "application/x-ole-storage"),
        (b"{\\rtf1", "a.txt", "application/rtf"),
        (b"PK\x05\x06" + bytes(18), "a", "application/zip"),
    ],
)
def test_its_bytes_say_what_it_is_and_its_name_only_which_kind_of_text(head: bytes, name: str, kind: str) -> None:
    assert sniff(head, name) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"<!DOCTYPE html>", "text/html"),
        (b" \n<HTML lang=en>", "text/html"),
        (b"<!-- a --><!-- b -->\n<script>", "text/html"),
        (b"\xef\xbb\xbf<html>", "text/html"),
        ("<html>".encode("utf-16"), "text/html"),
        (b"<?xml version='1.0'?><html xmlns='x'>", "text/html"),
        (b"<svg>", "image/svg+xml"),
        (b"<?xml version='1.0'?>\n<!-- made by x -->\n<!DOCTYPE svg PUBLIC 'a' 'b'>\n<svg>", "image/svg+xml"),
        (b"<?xml version='1.0'?><feed>", "application/xml"),
    ],
)
def test_what_a_browser_would_run_is_called_so(head: bytes, kind: str) -> None:
    assert sniff(head, "a.txt" if kind != "application/xml" else "a") == kind


@pytest.mark.parametrize("evil", [b"<!---->", b"<!--", b"<?xml ?>", b" ", b"<!doctype svg>", b"PK\x03\x04", b"%PDF", b"<!doctype html"])
def test_a_file_that_is_made_to_be_looked_at_for_long_is_not(evil: bytes) -> None:
    """Where an expression tries something twice for each repeat, these take longer than the test may."""
    assert sniff((evil * HEAD_BYTES)[:HEAD_BYTES], "a.txt")


def test_types_are_allowed_by_name_or_by_family() -> None:
    assert allows((), "image/png")
    assert allows(("text/*", "application/pdf"), "text/csv")
    assert allows(("text/*", "application/pdf"), "application/pdf")
    assert not allows(("text/*", "application/pdf"), "application/json")
