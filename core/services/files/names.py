"""Names of files, as they are kept: what came may be a path, or made to look like another name."""

import unicodedata

MAX_BYTES = 255
UNNAMED = "file"

_SEPARATORS = str.maketrans("\\", "/")
_JOINERS = "\u200c\u200d"  # letters of some scripts, and emoji, are written with them
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(given: str) -> str:
    """The last part of a path, composed (NFC), without characters that nobody sees, at most MAX_BYTES long as UTF-8.

    A name that is cut keeps its ending. Nothing left: UNNAMED.
    """
    name = unicodedata.normalize("NFC", _text(given)).translate(_SEPARATORS).rpartition("/")[2]
    name = "".join(char for char in name if char in _JOINERS or unicodedata.category(char) not in _UNSEEN)
    name = name.strip().rstrip(". ")
    return _cut(name) if name.strip(f".{_JOINERS} ") else UNNAMED


def ending(name: str) -> str:
    """What stands behind a name's last dot, in small letters; empty where there is none."""
    stem, dot, found = name.rpartition(".")
    return found.lower() if dot and stem else ""


def _text(given: str) -> str:
    """Bytes in a header that are no UTF-8 are Western letters, as old programs send them."""
    try:
        raw = given.encode("utf-8", "surrogateescape")
        return raw.decode()
    except UnicodeEncodeError:
        return given
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _cut(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, found = name.rpartition(".")
    if not dot or not stem or len(found.encode()) > MAX_BYTES // 4:
        stem, found = name, ""
    tail = f".{found}" if found else ""
    return stem.encode()[: MAX_BYTES - len(tail.encode())].decode(errors="ignore").rstrip(". ") + tail
