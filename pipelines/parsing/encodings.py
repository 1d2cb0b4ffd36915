"""Bytes into text, whoever wrote them."""

import codecs
import re

from charset_normalizer import from_bytes

from core.errors import BadRequest

_SAMPLE_BYTES = 262_144
_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MOSTLY = 0.7
_FEW = 0.3
_TYPICAL_OF_WESTERN = frozenset("äöüßÄÖÜéèêëàâáåãçñíìîïóòôõúùûøØæÆœŒÅÉÈÀÇÑ€£§°µ·«»„“”‘’–—…•™®©½¼¾\xa0´×±ªº")  # noqa: RUF001 - meant

_SIGNS_BEFORE_OR_AFTER = re.compile(r"(?<!\w)[¿¡]|(?<=[\da-z])[²³]")  # in words they are letters of another encoding

BINARY = "Its content is not text. Convert it to a type that can be read, or give it a name that says what it is."


def decode(content: bytes) -> str:
    """UTF-8 and UTF-16 with or without a mark, Windows-1252, or what charset-normalizer thinks it is. Raises BadRequest for no text."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return content.decode(name, "replace")
    if b"\0" in content[:_SAMPLE_BYTES]:
        return _decode_utf_16(content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_by_sample(content)


def _decode_utf_16(content: bytes) -> str:
    """Without a mark: of Latin letters every other byte is zero."""
    sample = content[:_SAMPLE_BYTES]
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if zeros.count(0) > _MOSTLY * len(zeros) and sample.count(0) < _MOSTLY * len(sample):
            return content.decode(name, "replace")
    raise BadRequest(BINARY)


def _decode_by_sample(content: bytes) -> str:
    sample = content[:_SAMPLE_BYTES]
    controls = sum(sample.count(byte) for byte in (*range(1, 8), *range(14, 27), *range(28, 32)))
    if controls > _FEW / 10 * len(sample):
        raise BadRequest(BINARY)
    if _is_western(content):
        return content.decode("cp1252", "replace")
    best = from_bytes(sample).best()
    return content.decode(best.encoding if best else "cp1252", "replace")


def _is_western(content: bytes) -> bool:
    """Few letters outside of ASCII, and most of them such as Western languages have: what a guess from short texts gets wrong."""
    sample = content[:_SAMPLE_BYTES]
    text = sample.decode("cp1252", "replace")
    high = sum(byte > 0x7F for byte in sample)  # noqa: PLR2004 - where ASCII ends
    accented = sum(byte >= 0xC0 for byte in sample)  # noqa: PLR2004 - where letters begin in encodings of one byte a letter
    letters = sum(character.isalpha() for character in text)
    typical = sum(map(text.count, _TYPICAL_OF_WESTERN)) + len(_SIGNS_BEFORE_OR_AFTER.findall(text))
    return accented < _FEW * letters and typical > _MOSTLY * high
