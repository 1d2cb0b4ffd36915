"""What a file is, by its first bytes. Its name only decides between kinds that begin alike; what its sender calls it counts for nothing."""

import codecs
import re

from core.services.files.names import ending

HEAD_BYTES = 65_536
UNKNOWN = "application/octet-stream"
TEXT, HTML, SVG, XML, ZIP, PDF = "text/plain", "text/html", "image/svg+xml", "application/xml", "application/zip", "application/pdf"

# The first bytes, at their place, of what has a mark of its own. The longer mark comes first where two begin alike.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"(\xb5/\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf'\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"\x00asm", "application/wasm"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"ITSF", "application/vnd.ms-htmlhelp"),
)
_RIFF = b"RIFF"
_PDF = re.compile(rb"%PDF-\d")
_PDF_WITHIN = 1_024  # readers look for it that far

_ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OFFICE_ENDINGS = {
    "docx": f"{_OFFICE}wordprocessingml.document",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "pptx": f"{_OFFICE}presentationml.presentation",
}
_OFFICE_FOLDERS = dict(zip((b"word", b"xl", b"ppt"), _OFFICE_ENDINGS.values(), strict=True))
_OFFICE_FOLDER = re.compile(rb"PK\x03\x04.{26}(word|xl|ppt)/", re.DOTALL)
_OFFICE_INDEX = b"[Content_Types].xml"
_NAMED_ZIP = re.compile(
    rb"PK\x03\x04.{22}\x08\x00\x00\x00mimetype(application/(?:epub\+zip|vnd\.oasis\.opendocument\.[a-z-]{1,40}))", re.DOTALL
)

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_KINDS = {
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
}

_TEXTS = {
    "md": "text/markdown",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "svg": SVG,
    "xml": XML,
    "json": "application/json",
    "ipynb": "application/x-ipynb+json",
    "jsonl": "application/x-ndjson",
    "ndjson": "application/x-ndjson",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "css": "text/css",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "eml": "message/rfc822",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "tex": "application/x-tex",
    "py": "text/x-python",
    "sh": "application/x-sh",
}
# Nothing in them is tried twice (``(?>`` and ``+`` behind a repeat): a file made for that would take years.
_BEFORE = rb"\s*+(?:<\?xml(?>.*?\?>)\s*+)?+(?:<!--(?>.*?-->)\s*+)*+"
_HTML = re.compile(_BEFORE + rb"<(?:!doctype\s+html|html|head|body|script|iframe|title|style|meta)[\s>]", re.DOTALL | re.IGNORECASE)
_SVG = re.compile(_BEFORE + rb"(?:<!doctype\s+svg(?>.*?>)\s*+)?+<svg[\s>]", re.DOTALL | re.IGNORECASE)
_XML = b"<?xml"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_TEXT_CONTROLS = 0.01  # form feeds and stray controls are found in real logs; binary data is full of them


def sniff(head: bytes, name: str) -> str:
    """The media type of a file that begins with ``head`` (HEAD_BYTES of it, or all) and has this name."""
    if head.startswith(_ZIPS):
        return _zip_kind(head, name)
    if head.startswith(_OLE):
        return _OLE_KINDS.get(ending(name), "application/x-ole-storage")
    if _PDF.search(head[:_PDF_WITHIN]):
        return PDF
    for place, mark, kind in _MARKS:
        if head.startswith(mark, place) and (not kind.endswith(("webp", "wav", "x-msvideo")) or head.startswith(_RIFF)):
            return kind
    return _text_kind(head, name) if _is_text(head) else UNKNOWN


def allows(patterns: tuple[str, ...], kind: str) -> bool:
    """Whether a media type is among ``type/name`` and ``type/*``; all are where there are none."""
    return not patterns or kind in patterns or f"{kind.partition('/')[0]}/*" in patterns


def _zip_kind(head: bytes, name: str) -> str:
    """By the names of the files in it, which stand behind their headers."""
    told, of_name = _NAMED_ZIP.match(head), _OFFICE_ENDINGS.get(ending(name))
    if told:
        return told[1].decode()
    folder = _OFFICE_FOLDER.search(head)
    if folder and (of_name or _OFFICE_INDEX in head):
        return _OFFICE_FOLDERS[folder[1]]
    return of_name if of_name and _OFFICE_INDEX in head else ZIP


def _text_kind(head: bytes, name: str) -> str:
    """What a browser would run is called so, whatever its name."""
    start = head.removeprefix(codecs.BOM_UTF8)
    if start.startswith(_UTF_16):
        start = start.decode("utf-16", "ignore").encode()
    if _SVG.match(start):
        return SVG
    if _HTML.match(start):
        return HTML
    return _TEXTS.get(ending(name), XML if start.lstrip().startswith(_XML) else TEXT)


def _is_text(head: bytes) -> bool:
    """UTF-8, UTF-16 with its mark, or one of the encodings of a byte a character: no NULs, and hardly a control character."""
    if head.startswith(_UTF_16):
        return True
    return b"\x00" not in head and len(_CONTROLS.findall(head)) <= len(head) * _TEXT_CONTROLS
