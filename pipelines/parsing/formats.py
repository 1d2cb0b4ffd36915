"""What a file is: by its name, and by its content where that says more."""

import io
import zipfile
import zlib
from enum import StrEnum
from pathlib import PurePath

from core.errors import BadRequest


class Format(StrEnum):
    """What can be read."""

    TEXT = "text"
    CODE = "code"
    DELIMITED = "delimited"
    JSON = "json"
    NDJSON = "ndjson"
    NOTEBOOK = "ipynb"
    XML = "xml"
    SUBTITLES = "subtitles"
    MARKDOWN = "markdown"
    HTML = "html"
    EML = "eml"
    PDF = "pdf"
    XLSX = "xlsx"
    DOCX = "docx"
    PPTX = "pptx"
    ODT = "odt"
    EPUB = "epub"
    RTF = "rtf"
    MSG = "msg"


_BY_SUFFIX = {
    suffix: format_
    for format_, suffixes in {
        Format.TEXT: "txt text log out err rst adoc asciidoc org tex me 1st nfo diff patch",
        Format.CODE: (
            "py pyi pyw js mjs cjs jsx ts mts cts tsx java kt kts scala groovy gradle c h cc cpp cxx hh hpp hxx cs fs vb go rs rb php pl pm"
            " swift m mm r jl lua sh bash zsh fish ps1 psm1 bat cmd sql graphql gql proto thrift css scss sass less vue svelte dart ex exs"
            " erl hrl hs ml mli clj cljs lisp el scm asm s f f90 f95 pas d nim zig v sv vhd vhdl tcl awk sed cmake mk dockerfile tf hcl nix"
            " yaml yml toml ini cfg conf properties env editorconfig"
        ),
        Format.DELIMITED: "csv tsv tab psv",
        Format.JSON: "json geojson webmanifest har",
        Format.NDJSON: "ndjson jsonl",
        Format.NOTEBOOK: "ipynb",
        Format.XML: "xml xsd xsl xslt rss atom svg wsdl plist opml gpx kml xliff tmx",
        Format.SUBTITLES: "srt vtt",
        Format.MARKDOWN: "md markdown mdown mkd mdx qmd",
        Format.HTML: "html htm xhtml xht",
        Format.EML: "eml",
        Format.PDF: "pdf",
        Format.XLSX: "xlsx xlsm xltx xltm",
        Format.DOCX: "docx docm dotx dotm",
        Format.PPTX: "pptx pptm",
        Format.ODT: "odt",
        Format.EPUB: "epub",
        Format.RTF: "rtf",
        Format.MSG: "msg",
    }.items()
    for suffix in suffixes.split()
}
# What people upload and nothing here reads, with what helps.
_OLD = {"doc": ".docx", "dot": ".docx", "xls": ".xlsx", "xlt": ".xlsx", "ppt": ".pptx", "pps": ".pptx", "ods": ".xlsx", "odp": ".pptx"}
_ARCHIVES = frozenset({"zip", "gz", "tgz", "tar", "bz2", "xz", "zst", "7z", "rar", "jar", "war", "apk"})
_SAYS_ITSELF = frozenset({
    Format.PDF, Format.XLSX, Format.DOCX, Format.PPTX, Format.ODT, Format.EPUB, Format.RTF, Format.MSG,
})  # fmt: skip
_IN_ARCHIVE = {"word/document.xml": Format.DOCX, "xl/workbook.xml": Format.XLSX, "ppt/presentation.xml": Format.PPTX}
_BY_MIMETYPE = {
    b"application/vnd.oasis.opendocument.text": Format.ODT,
    b"application/epub+zip": Format.EPUB,
}
_ZIP, _OLE, _PDF, _RTF = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"%PDF-", b"{\\rtf"
_PDF_BEGINS_WITHIN = 1024
_OTHERS = {
    beginning: kind
    for kind, beginnings in {
        "a picture": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*"),
        "sound, a picture or a film": (b"RIFF", b"OggS", b"ID3", b"fLaC", b"\x1aE\xdf\xa3"),
        "a program": (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe"),
        "an archive": (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"(\xb5/\xfd"),
        "a database": (b"SQLite format 3\0",),
    }.items()
    for beginning in beginnings
}

_MAX_MIMETYPE_BYTES = 200

DAMAGES = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError, ValueError)  # that zipfile may raise
_NO_DOCUMENT = "An archive is not read as a document. Unpack it and upload its files."
_OLD_OFFICE = "It is a document of an old Office program, which cannot be read. Save it as .docx, .xlsx or .pptx."
ENCRYPTED = "It is encrypted. Remove the password and upload it again."


def find_format(content: bytes, filename: str) -> Format:
    """What to read the file as. Raises BadRequest for what nothing here reads, for what is encrypted, and where name and content differ.

    A document whose content says for certain what it is (a PDF, an Office file) is read as that, whatever its name is.
    """
    suffix = _suffix(filename)
    if sniffed := _sniff(content, suffix):
        return sniffed
    named = _BY_SUFFIX.get(suffix)
    if named in _SAYS_ITSELF:
        message = f"It is named .{suffix}, but its content is not. It may be damaged; if it is something else, name it for what it is."
        raise BadRequest(message)
    if suffix in _OLD:
        message = f"Files of the type .{suffix} cannot be read. Save it as {_OLD[suffix]}."
        raise BadRequest(message)
    if suffix in _ARCHIVES:
        raise BadRequest(_NO_DOCUMENT)
    kind = next((kind for beginning, kind in _OTHERS.items() if content.startswith(beginning) and b"\0" in content[:512]), "")
    if kind:
        message = f"It is {kind}, from which no text can be read. Convert it to a document with text."
        raise BadRequest(message)
    if named is None and b"\0" in content[:8192] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind = f"of the type .{suffix}" if "." in filename else "without a type in its name"
        message = f"A file {kind} cannot be read. Convert it to PDF, Office Open XML, HTML, Markdown, CSV, JSON or text."
        raise BadRequest(message)
    return named or Format.TEXT


def _suffix(filename: str) -> str:
    """Also of a name that is all suffix (``.env``) or has none (``Dockerfile``), and of one that tries to be a path."""
    name = PurePath(filename.replace("\\", "/").replace("\0", "")).name
    return name.rpartition(".")[2].strip().lower()


def _sniff(content: bytes, suffix: str) -> Format | None:
    if content.startswith(_PDF) or (suffix == "pdf" and _PDF in content[:_PDF_BEGINS_WITHIN]):
        return Format.PDF
    if content.startswith(_RTF):
        return Format.RTF
    if content.startswith(_OLE):
        return _sniff_ole(content)
    if content.startswith(_ZIP):
        return _sniff_archive(content)
    return None


def _sniff_ole(content: bytes) -> Format:
    """Names in an OLE file are UTF-16."""
    if "__properties_version1.0".encode("utf-16-le") in content:  # first: what is attached may be encrypted
        return Format.MSG
    if "EncryptedPackage".encode("utf-16-le") in content:
        raise BadRequest(ENCRYPTED)
    for stream, kind in (("WordDocument", ".docx"), ("Workbook", ".xlsx"), ("PowerPoint Document", ".pptx")):
        if stream.encode("utf-16-le") in content:
            message = f"It is a document of Office 97 to 2003, which cannot be read. Save it as {kind}."
            raise BadRequest(message)
    raise BadRequest(_OLD_OFFICE)


def _sniff_archive(content: bytes) -> Format:
    """Raises BadRequest for an archive that is no document, and for one that ends too early."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            said = members.get("mimetype")
            mimetype = archive.read(said).strip() if said and said.file_size <= _MAX_MIMETYPE_BYTES else b""
    except DAMAGES as error:
        raise BadRequest(describe_damage(error)) from error
    found = _BY_MIMETYPE.get(mimetype) or next((kind for name, kind in _IN_ARCHIVE.items() if name in members), None)
    if found is None:
        raise BadRequest(_NO_DOCUMENT)
    return found


def describe_damage(error: Exception) -> str:
    """What to say of an archive that cannot be unpacked."""
    return f"It is damaged or ends too early ({error}). Save or upload it again."
