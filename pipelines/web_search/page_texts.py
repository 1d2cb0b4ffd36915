"""The text of pages that were found: each fetched, and read in a child; what goes wrong with one is that one's alone."""

import asyncio
import codecs
import os
import re
import tempfile
from pathlib import Path
from typing import Protocol

import msgspec

from core.errors import PenstockError, UnsupportedType
from core.logging import get_logger
from core.models.documents import FileRead, ReadFile
from core.models.web_search import WebPage
from pipelines.fetching.fetcher import Fetched, Fetcher

ALL_S = 35
AT_A_TIME = 8
MOST_CHARACTERS = 50_000
PARSER = "pipelines.parsing.child:read_file"

_ENDINGS = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "application/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/rss+xml": "xml",
    "application/atom+xml": "xml",
    "application/pdf": "pdf",
}
_UNSAID = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_OFFICE = ("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.")
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body|title|meta)\b", re.IGNORECASE)
# Of bytes that are letters and nothing else; others of Python's codecs take long, or make something else of them.
_LETTERS = re.compile(r"utf-16(-[bl]e)?|ascii|iso8859-\d+|cp\d+|koi8-[ru]|big5(hkscs)?|gb(2312|k|18030)|euc_(jp|kr)|shift_jis|mac-\w+")
_WESTERN = frozenset({"iso8859-1", "ascii"})  # browsers take both for cp1252

log = get_logger()


class Children(Protocol):
    """Processes that work under limits."""

    async def run(self, function: str, payload: bytes) -> bytes:
        """What ``package.module:function`` gives for a payload. Raises PenstockError where it breaks a limit or crashes."""


class PageTexts:
    """At most AT_A_TIME pages of one search are fetched at a time, and all of them have ALL_S seconds together."""

    def __init__(self, fetcher: Fetcher, children: Children) -> None:
        self._fetcher = fetcher
        self._children = children

    async def open(self) -> None:
        """Make what fetches."""
        await self._fetcher.open()

    async def close(self) -> None:
        """Close it."""
        await self._fetcher.close()

    async def add(self, pages: list[WebPage]) -> list[WebPage]:
        """The same pages in the same order, each with its ``content``, or with the ``error`` that there is instead."""
        places = asyncio.Semaphore(AT_A_TIME)
        tasks = [asyncio.create_task(self._add(page, places)) for page in pages]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=ALL_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        late = f"It was not read within the {ALL_S} seconds that all pages have together. Ask for fewer pages, or try again later."
        return [
            msgspec.structs.replace(page, error=late) if task.cancelled() else task.result()
            for page, task in zip(pages, tasks, strict=True)
        ]

    async def _add(self, page: WebPage, places: asyncio.Semaphore) -> WebPage:
        try:
            async with places:
                content, missing = await self._read(page.link)
        except PenstockError as error:
            return msgspec.structs.replace(page, error=error.detail)
        except Exception:  # a page that meets a bug of ours costs only itself, too
            log.exception("unhandled error")
            return msgspec.structs.replace(page, error=PenstockError().detail)
        return msgspec.structs.replace(page, content=content, missing=missing)

    async def _read(self, link: str) -> tuple[str, tuple[str, ...]]:
        fetched = await self._fetcher.fetch(link, is_read)
        path = await asyncio.to_thread(_keep, fetched)
        try:
            asked = ReadFile(path=str(path), filename=f"page.{find_ending(fetched)}")
            data = await self._children.run(PARSER, msgspec.json.encode(asked))
        finally:
            await asyncio.to_thread(path.unlink)
        return await asyncio.to_thread(_render, data)


def is_read(media_type: str) -> bool:
    """Whether there is a parser for it, or it may be that there is one."""
    return media_type in _ENDINGS or media_type in _UNSAID or media_type.startswith(_OFFICE)


def find_ending(fetched: Fetched) -> str:
    """What the parsers know it by. Documents say themselves what they are."""
    if fetched.media_type in _UNSAID and _HTML.match(fetched.body):
        return "html"
    return _ENDINGS.get(fetched.media_type, "")


def to_utf_8(fetched: Fetched) -> bytes:
    """A text as its server says that it is written; as it came where it does not say, or nothing that we know."""
    ending = find_ending(fetched)
    if not ending or ending == "pdf" or not fetched.charset:
        return fetched.body
    try:
        codec = codecs.lookup(fetched.charset).name
    except (LookupError, ValueError):
        return fetched.body
    if not _LETTERS.fullmatch(codec) or fetched.body.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return fetched.body
    return fetched.body.decode("cp1252" if codec in _WESTERN else codec, "replace").encode()


def _keep(fetched: Fetched) -> Path:
    descriptor, path = tempfile.mkstemp(prefix="penstock-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(to_utf_8(fetched))
    return Path(path)


def _render(data: bytes) -> tuple[str, tuple[str, ...]]:
    read = msgspec.json.decode(data, type=FileRead)
    if read.document is None:
        raise UnsupportedType(read.refusal)
    text, missing = read.document.render(), read.document.missing
    if len(text) > MOST_CHARACTERS:
        text, missing = text[:MOST_CHARACTERS], (*missing, f"Left out: all after its first {MOST_CHARACTERS} characters.")
    return text, missing
