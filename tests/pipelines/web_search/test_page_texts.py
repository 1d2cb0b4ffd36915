"""Text of pages: from sites on this machine, read by real children."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.errors import TookTooLong
from core.models.web_search import WebPage
from core.settings import Settings
from pipelines.fetching.fetcher import Fetched, Fetcher
from pipelines.web_search import page_texts as module
from pipelines.web_search.page_texts import Children as Runner
from pipelines.web_search.page_texts import PageTexts, find_ending, is_read, to_utf_8
from tests.pipelines.parsing.pdfs import write_pdf
from tests.polling import until
from tests.web_pages import Names, Site, html, typed
from workers.actors.web_searches import PAGE_LIMITS
from workers.children import Children


class NoChildren:
    """Has no child that could read."""

    async def run(self, function: str, payload: bytes) -> bytes:
        del payload
        raise AssertionError(function)


class SlowChildren:
    """Runs into its limit of time."""

    async def run(self, function: str, payload: bytes) -> bytes:
        del function, payload
        message = "It took longer than 20 seconds, which is the limit here."
        raise TookTooLong(message)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().serving() as serving:
        yield serving


@asynccontextmanager
async def opened(site: Site, children: Runner) -> AsyncIterator[PageTexts]:
    texts = PageTexts(Fetcher(Settings(fetch_allow=(f"site.test:{site.port}",)), Names(site_test=["127.0.0.1"])), children)
    await texts.open()
    try:
        yield texts
    finally:
        await texts.close()


def found(site: Site, *paths: str) -> list[WebPage]:
    return [WebPage(title=path, link=f"http://site.test:{site.port}/{path}", snippet="s") for path in paths]


async def test_each_page_has_its_text_or_a_reason_whatever_becomes_of_the_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CHARACTERS", 60)
    site.pages |= {
        "/page": html(
            "<title>t</title><nav>Menu</nav><h1>Mills</h1><p>They grind.</p><table><tr><th>a</th></tr><tr><td>1</td></tr></table>"
        ),
        "/paper": typed(write_pdf(["A paper."]), "application/pdf"),
        "/plain": typed("Привет".encode("iso8859-5"), "text/plain; charset=iso-8859-5"),
        "/long": typed(b"x" * 100, "text/plain"),
        "/picture": typed(b"\x89PNG", "image/png"),
        "/empty": html(""),
        "/breaking": site.breaking,
    }
    pages = [*found(site, "page", "paper", "plain", "long", "picture", "empty", "breaking", "nothing")]
    pages.append(WebPage(title="inside", link="http://10.0.0.1/", snippet="s"))
    async with Children(PAGE_LIMITS, 2) as children, opened(site, children) as texts:
        added = await texts.add(pages)
    assert [(page.title, page.link, page.snippet) for page in added] == [(page.title, page.link, page.snippet) for page in pages]
    page, paper, plain, long, *without = added
    assert (page.content, page.missing) == ("Mills\n\nThey grind.\n\na\n1", ("Left out: its navigation.",))
    assert (paper.content, plain.content) == ("A paper.", "Привет")
    assert (long.content, long.missing) == ("x" * 60, ("Left out: all after its first 60 characters.",))
    assert not any(page.error for page in (page, paper, plain, long))
    assert [page.content for page in without] == [None] * 5
    reasons = ("gave image/png", "It is empty", "broke off", "status 404", "at a private address")
    assert all(reason in (page.error or "") for page, reason in zip(without, reasons, strict=True)), without


async def test_a_slow_page_is_given_up_when_all_have_had_their_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_S", 0.5)
    site.pages["/slow"] = site.silent
    async with opened(site, NoChildren()) as texts:
        slow, missing = await texts.add(found(site, "slow", "nothing"))
    assert "not read within the 0.5 seconds that all pages have together" in (slow.error or "")
    assert "status 404" in (missing.error or "")


async def test_so_many_are_fetched_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_A_TIME", 2)
    pages = found(site, "1", "2", "3", "4")
    site.pages |= {f"/{page.title}": site.silent for page in pages}
    async with opened(site, NoChildren()) as texts:
        adding = asyncio.create_task(texts.add(pages))
        await until(lambda: len(site.seen) == 2, "two are asked for")
        site.gone.set()
        added = await adding
    assert [page.error is not None for page in added] == [True] * 4
    assert len(site.seen) == 4


async def test_a_page_that_takes_a_child_too_long_costs_only_itself(site: Site) -> None:
    site.pages["/a"] = html("x")
    async with opened(site, SlowChildren()) as texts:
        (page,) = await texts.add(found(site, "a"))
        assert (page.content, page.error) == (None, "It took longer than 20 seconds, which is the limit here.")
        assert await texts.add([]) == []


async def test_a_bug_of_ours_costs_one_page_and_is_not_told(site: Site) -> None:
    site.pages["/a"] = html("x")
    async with opened(site, NoChildren()) as texts:
        (page,) = await texts.add(found(site, "a"))
    assert page.error == "Something went wrong on our side."


async def test_a_search_that_is_stopped_fetches_nothing_more(site: Site) -> None:
    site.pages["/a"] = site.silent
    async with opened(site, NoChildren()) as texts:
        adding = asyncio.create_task(texts.add(found(site, "a")))
        await until(lambda: site.seen, "the page is asked for")
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding


@pytest.mark.parametrize(
    ("media_type", "body", "ending"),
    [
        ("text/html", b"x", "html"),
        ("application/xhtml+xml", b"x", "html"),
        ("text/plain", b"<html>", "txt"),
        ("application/pdf", b"x", "pdf"),
        ("", b" \n<!DOCTYPE html><p>", "html"),
        ("application/octet-stream", b"<html>", "html"),
        ("", b"%PDF-1.4", ""),
        ("", b"text", ""),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK", ""),
    ],
)
def test_a_page_is_read_as_what_its_server_says_else_as_what_it_is(media_type: str, body: bytes, ending: str) -> None:
    assert is_read(media_type)
    assert find_ending(Fetched(url="u", media_type=media_type, charset="", body=body)) == ending


@pytest.mark.parametrize("media_type", ["image/png", "video/mp4", "application/zip", "application/javascript", "text/css"])
def test_what_has_no_text_for_readers_is_not_fetched(media_type: str) -> None:
    assert not is_read(media_type)


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("windows-1251", "Да".encode("cp1251"), "Да"),
        ("iso-8859-1", b"\x80", "€"),
        ("us-ascii", b"\xe4", "ä"),
        ("shift_jis", "水".encode("shift_jis"), "水"),
        ("gb2312", "水".encode("gb2312"), "水"),
        ("utf-8", "ä".encode(), "ä"),
        ("nonsense", b"a", "a"),
        ("utf-7", b"+AGE-", "+AGE-"),
        ("unicode_escape", b"\\u0061", "\\u0061"),
        ("hex", b"61", "61"),
        ("", b"a", "a"),
    ],
)
def test_letters_are_what_the_server_says_and_no_codec_does_more_than_letters(charset: str, body: bytes, text: str) -> None:
    assert to_utf_8(Fetched(url="u", media_type="text/html", charset=charset, body=body)).decode() == text


def test_a_document_is_left_as_it_came() -> None:
    assert to_utf_8(Fetched(url="u", media_type="application/pdf", charset="iso-8859-5", body=b"%PDF\xd0")) == b"%PDF\xd0"
