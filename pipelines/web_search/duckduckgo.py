"""Asking DuckDuckGo through ddgs: a library with an HTTP client of its own that blocks, and that says little of what went wrong.

Seen with ddgs 9.16.1: each status but 200 is "No results found." to it, so that a refusal cannot be told from an empty list; a backend that
it does not know becomes all that it has; what stands encoded in an address comes decoded (``a%26b`` as ``a&b``), so that some lead to
another page; and results that it likes better are put first, which is the order here.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from core.errors import Unavailable, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from core.models.web_search import SearchWeb, WebPage

NAME = "DuckDuckGo"
TIMEOUT_S = 20
THREADS = 8
PAUSE_S = 2  # for its own words, which are better than ours

_NOTHING = "No results found."


class DuckDuckGo:
    """``proxy``: an HTTP proxy to ask it through. ``authorities``: a file of certificates to trust instead of the usual ones."""

    def __init__(self, proxy: str = "", authorities: str = "") -> None:
        self._proxy = proxy
        self._authorities = authorities
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="duckduckgo")

    def close(self) -> None:
        """Ask nothing more. What is being asked ends by itself, at its limit of time."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def find(self, wanted: SearchWeb) -> list[WebPage]:
        """What it found, about ten pages at most. Raises UpstreamError and its kinds, and Unavailable where ddgs is not installed."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S + PAUSE_S):
                found = await loop.run_in_executor(self._threads, partial(self._ask, wanted))
        except TimeoutError:
            raise _late() from None
        return [WebPage(title=row["title"] or row["href"], link=row["href"], snippet=row["body"]) for row in found]

    def _ask(self, wanted: SearchWeb) -> list[dict[str, Any]]:
        try:
            from ddgs import DDGS  # noqa: PLC0415 - only workers of the CPU pool have it, and only this engine needs it
            from ddgs.exceptions import DDGSException, TimeoutException  # noqa: PLC0415
        except ImportError:
            message = (
                "DuckDuckGo is asked through ddgs, which this worker does not have. Install penstock[cpu], or set PENSTOCK_WEB_SEARCH to"
                " another engine."
            )
            raise Unavailable(message) from None
        try:
            client = DDGS(proxy=self._proxy or None, timeout=TIMEOUT_S, verify=self._authorities or True)
            return client.text(wanted.query, backend="duckduckgo", max_results=wanted.count)
        except TimeoutException:
            raise _late() from None
        except DDGSException as error:
            raise _explain(str(error)) from None


def _late() -> UpstreamTimeout:
    return UpstreamTimeout(f"{NAME} did not answer within {TIMEOUT_S} seconds. Ask again later.")


def _explain(said: str) -> UpstreamError:
    if said == _NOTHING:
        return UpstreamError(
            f"{NAME} gave no results: it found nothing, or it refuses to be asked so often, and ddgs does not tell which. Use other words,"
            " or ask again later."
        )
    if said.startswith(("ConnectError", "RequestError")):
        return UpstreamRefused(
            f"{NAME} cannot be reached. Look at the network, and at the proxy in PENSTOCK_WEB_SEARCH_URL if there is one."
        )
    return UpstreamBroken(f"{NAME} answered with something that ddgs cannot read. Ask again later; a newer ddgs may know it.")
