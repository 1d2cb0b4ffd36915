"""The files below some folders, as they are to be put into a knowledge base: which of them, and under which path."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from core.errors import SettingsError
from core.models.ingestion import MAX_PATH

PIECE_BYTES = 1 << 20
GIT = ".git"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which files are taken. Patterns such as ``*.md`` describe a name, or a path below the folder that is given.

    ``include``: only these; none: all. ``exclude``: neither these nor what is in folders of these. ``hidden``: also what begins with a dot.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False

    def enters(self, name: str, below: str) -> bool:
        """Whether what is in a folder may be taken, and a file unless it is not included."""
        if name == GIT or (name.startswith(".") and not self.hidden):
            return False
        return not _matches(self.exclude, name, below)

    def takes(self, name: str, below: str) -> bool:
        """Whether a file is taken."""
        return self.enters(name, below) and (not self.include or _matches(self.include, name, below))


class LocalFile(msgspec.Struct, frozen=True, kw_only=True):
    """``path``: its place in the base; ``stamp``: another one whenever its bytes may have changed."""

    path: str
    place: Path
    size: int
    stamp: tuple[int, int]


class LocalFiles(msgspec.Struct, kw_only=True):
    """``found``: by path; ``unreadable``: by path, why, of files and of folders; ``empty``: how many files have nothing in them.

    ``scopes``: the paths of the folders that were looked through: what is in a base below them and not here is gone.
    """

    found: dict[str, LocalFile] = {}
    unreadable: dict[str, str] = {}
    empty: int = 0
    scopes: tuple[str, ...] = ()

    def lack(self, path: str) -> bool:
        """Whether a path would have been found here if it were there: nothing that could not be looked at counts as gone."""
        if path in self.found or not any(path.startswith(scope) for scope in self.scopes):
            return False
        return not any(path == known or path.startswith(f"{known}/") for known in self.unreadable)


def check(roots: Sequence[Path]) -> None:
    """Raises SettingsError for a path that is not there, and for two that would be one in the base."""
    names: dict[str, Path] = {}
    for root in roots:
        if not root.exists():
            message = f"There is no {root}. Name folders and files that are there."
            raise SettingsError(message)
        if not (root.is_dir() or root.is_file()):
            message = f"{root} is neither a folder nor a file."
            raise SettingsError(message)
        other = names.setdefault(root.resolve().name, root)
        if other is not root:
            message = f"{other} and {root} have the same name, so their files would have the same paths. Ingest them one after the other."
            raise SettingsError(message)


def find(roots: Sequence[Path], choice: Choice) -> LocalFiles:
    """What is there now. A folder's files have its name before their paths. Links to folders, and out of a folder, are not followed."""
    files = LocalFiles(scopes=tuple(_prefix(root) for root in roots if root.is_dir()))
    for root in roots:
        if root.is_dir():
            for below, entry in _walk(root, choice, files):
                _take(files, _prefix(root) + below, Path(entry.path))
        else:
            _take(files, root.resolve().name, root)
    return files


def hash_of(file: LocalFile) -> str:
    """The SHA-256 of its bytes, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with file.place.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _walk(root: Path, choice: Choice, files: LocalFiles) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    left = [("", str(root))]
    real = root.resolve()
    while left:
        before, folder = left.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            files.unreadable[(_prefix(root) + before).rstrip("/")] = error.strerror or str(error)
            continue
        folders = []
        for entry in found:
            below = before + entry.name
            if entry.is_dir(follow_symlinks=False):
                if choice.enters(entry.name, below):
                    folders.append((f"{below}/", entry.path))
            elif choice.takes(entry.name, below) and (not entry.is_symlink() or _stays_in(real, Path(entry.path))):
                yield below, entry
        left += reversed(folders)


def _take(files: LocalFiles, path: str, place: Path) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        files.unreadable[os.fsencode(path).decode(errors="replace")] = "Its name is not UTF-8. Rename it."
        return
    if len(path) > MAX_PATH or any(letter < " " or letter == "\x7f" for letter in path):
        files.unreadable[path] = f"Its path is longer than {MAX_PATH} characters, or has control characters. Rename it."
        return
    try:
        found = place.stat()
        if not os.access(place, os.R_OK):
            files.unreadable[path] = "Permission denied"
        elif stat.S_ISREG(found.st_mode) and found.st_size:
            files.found[path] = LocalFile(path=path, place=place, size=found.st_size, stamp=(found.st_mtime_ns, found.st_ino))
        elif stat.S_ISREG(found.st_mode):
            files.empty += 1
    except OSError as error:
        files.unreadable[path] = error.strerror or str(error)


def _prefix(root: Path) -> str:
    name = root.resolve().name
    return f"{name}/" if name else ""


def _stays_in(real: Path, link: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(real)
    except (OSError, RuntimeError):  # it leads nowhere, or to itself
        return False


def _matches(patterns: Sequence[str], name: str, below: str) -> bool:
    return any(fnmatch(name, pattern) or fnmatch(below, pattern.removesuffix("/")) for pattern in patterns)
