"""The actor that searches the web: ask, read what was found where that is wanted, keep."""

import msgspec

from core.jobs.results import Results
from core.models.events import Event, Finished
from core.models.jobs import JobStatus
from core.models.web_search import SearchWeb
from pipelines.web_search.page_texts import PageTexts
from pipelines.web_search.searcher import Searcher
from workers.attempt import Attempt
from workers.children import Limits

# A page's parsing: the first one in a child takes seconds more, for what it imports.
PAGE_LIMITS = Limits(seconds=20, memory_bytes=2 << 30, output_bytes=32 << 20)
PAGES_AT_A_TIME = 2


class WebSearches:
    """What ``search_web`` does. A job that another worker left is simply done again."""

    def __init__(self, *, results: Results, searcher: Searcher, page_texts: PageTexts) -> None:
        self.results = results
        self.searcher = searcher
        self.page_texts = page_texts

    def __call__(self, attempt: Attempt) -> "Search":
        """One attempt at a search."""
        return Search(self, attempt)


class Search:
    """One search."""

    keeps = False

    def __init__(self, by: WebSearches, attempt: Attempt) -> None:
        self._by = by
        self._claim = attempt.claim

    async def do(self) -> Finished:
        """Search, and keep what was found for whoever waits for it."""
        wanted = msgspec.json.decode(self._claim.input, type=SearchWeb)
        pages = await self._by.searcher.search(wanted)
        if wanted.content:
            pages = await self._by.page_texts.add(pages)
        await self._by.results.put(self._claim.spec.id, msgspec.json.encode(pages))
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Nothing more."""
