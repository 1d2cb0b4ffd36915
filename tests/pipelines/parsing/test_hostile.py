"""Files that are broken or mean harm: each ends with a reason that says what to do."""

import io
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from random import Random

import docx
import pytest

from core.errors import BadRequest
from pipelines.parsing.archives import MAX_EXPANDED_BYTES
from tests.pipelines.parsing.pdfs import write_pdf
from tests.pipelines.parsing.reading import read, refuse, texts

WORD = "word/document.xml"


def pack(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def write_docx(text: str = "text") -> bytes:
    content = io.BytesIO()
    document = docx.Document()
    document.add_paragraph(text)
    document.save(content)
    return content.getvalue()


@pytest.mark.parametrize("content", [b"", b" \r\n\t\n", b"\0" * 1000])
@pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.docx", "a"])
def test_empty_files_are_refused(name: str, content: bytes) -> None:
    assert refuse(name, content) == "It is empty. Upload a file with text in it."


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    assert "too large when it is unpacked" in refuse("a.docx", pack({WORD: b"a" * (20 << 20)}))


def test_a_bomb_in_an_archive_in_a_document_is_refused() -> None:
    inner = pack({"bomb": b"\0" * (20 << 20)})
    assert "too large when it is unpacked" in refuse("a.docx", pack({WORD: b"<x/>", "word/embeddings/a.xlsx": inner}))


def test_archives_in_archives_are_refused() -> None:
    content = pack({"x": b"x"})
    for _ in range(4):
        content = pack({"inner.zip": content}, zipfile.ZIP_STORED)
    assert "archives in archives" in refuse("a.docx", pack({WORD: b"<x/>", "a.zip": content}))


def test_a_size_that_is_a_lie_is_found_out() -> None:
    content = bytearray(pack({WORD: b"a" * 100_000}))
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    assert "damaged or ends too early" in refuse("a.docx", bytes(content))
    content[directory + 24 : directory + 28] = (MAX_EXPANDED_BYTES + 1).to_bytes(4, "little")
    assert "too large when it is unpacked" in refuse("a.docx", bytes(content))


def test_a_wrong_checksum_is_found_out() -> None:
    content = bytearray(pack({WORD: b"<x>some text</x>"}, zipfile.ZIP_STORED))
    place = content.index(b"some")
    content[place : place + 4] = b"evil"
    assert "damaged or ends too early (Bad CRC-32" in refuse("a.docx", bytes(content))


def test_encrypted_archives_and_packages_are_refused() -> None:
    content = bytearray(pack({WORD: b"<x/>"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "It is encrypted" in refuse("a.docx", bytes(content))
    package = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le")
    assert "It is encrypted" in refuse("a.xlsx", package)


def test_what_surely_is_something_else_is_read_as_that() -> None:
    assert read("a.pdf", write_docx()).format == "docx"
    assert read("a.docx", write_pdf(["Text."])).format == "pdf"
    assert read("a.txt", r"{\rtf1\ansi Hello}").format == "rtf"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"plain words", "named .pdf, but its content is not"),
        ("a.docx", b"<html>", "named .docx, but its content is not"),
        ("a.msg", b"words", "named .msg, but its content is not"),
        ("a.xlsx", pack({"x": b"x"}), "An archive is not read"),
        ("a.zip", b"x", "An archive is not read"),
        ("a.doc", b"x", "Save it as .docx"),
        ("a.txt", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument".encode("utf-16-le"), "Save it as .docx"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "It is a picture"),
        ("a.py", b"\x7fELF\x02\x01\x01\0", "It is a program"),
        ("a.docx", pack({WORD: b"<not xml"}), "not a document of Word"),
        ("a.docx", pack({WORD: b"<x/>"}), "not a document of Word"),
        ("a.xlsx", pack({"xl/workbook.xml": b"<x"}), "not a workbook"),
        ("a.pptx", pack({"ppt/presentation.xml": b"<x"}), "not a presentation"),
        ("a.odt", pack({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<x"}), "It is damaged"),
        ("a.epub", pack({"mimetype": b"application/epub+zip"}), "It is damaged"),
        ("a.rtf", b"{\\rtf1" + b"{" * 10, "It is damaged"),
        (
            "a.msg",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "__properties_version1.0".encode("utf-16-le"),
            "not a mail of Outlook",
        ),
    ],
)
def test_what_cannot_be_read_says_why(name: str, content: bytes, reason: str) -> None:
    assert reason in refuse(name, content)


def damage(content: bytes, random: Random) -> bytes:
    """A few bytes are others, gone, or there twice; of a document that is an archive, in one of its members."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        hit = random.choice([name for name in members if name.endswith((".xml", ".rels"))])
        return pack({**members, hit: damage(members[hit], random)})
    damaged = bytearray(content)
    for _ in range(random.randrange(1, 6)):
        place = random.randrange(len(damaged))
        damaged[place : place + random.randrange(4)] = random.choice((b"", b"<", b"\0", b"&x;", b'"', bytes(damaged[place : place + 30])))
    return bytes(damaged)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_damaged_anywhere_is_read_or_refused(seed: int) -> None:
    random = Random(seed)
    page = b"<table><tr><th rowspan=2>a<td>b</table><ol><li><p>x</ol><pre>x</pre><img alt=x><svg><p>q</svg>"
    files = {"a.docx": write_docx(), "a.pdf": write_pdf(["Some wor-", "ds"], outline=[("Some", 1)]), "a.html": page}
    for name, content in files.items():
        with suppress(BadRequest):
            read(name, damage(content, random))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.txt", "..\\..\\boot.txt", "/etc/passwd\0.txt", "a\nb.txt", "." * 5000 + ".txt", "CON.txt"]
)
def test_names_lead_nowhere(name: str) -> None:
    assert texts(read(name, "words")) == ["words"]


def test_members_with_names_that_lead_out_are_not_unpacked() -> None:
    with zipfile.ZipFile(io.BytesIO(write_docx())) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    assert texts(read("a.docx", pack({**members, "../../../tmp/evil": b"x"}))) == ["text"]


def test_entities_in_word_documents_are_not_resolved() -> None:
    with zipfile.ZipFile(io.BytesIO(write_docx("MARK"))) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    begin = members[WORD].index(b"<w:document")
    evil = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + members[WORD][begin:].replace(b"MARK", b"MARK&e;")
    assert "Entity 'e' not defined" in refuse("a.docx", pack({**members, WORD: evil}))
