"""Searching the web: asked for and waited for. The searching is a worker's, because what is out there may be slow."""

import time

import msgspec

from core.errors import BadRequest, Unavailable
from core.jobs import SEARCH_WEB, queue_of
from core.jobs.calls import Calls
from core.logging import request_id
from core.models.jobs import JobSpec
from core.models.users import Principal
from core.models.web_search import SearchWeb, WebPage
from core.settings import SearchEngine, Settings

UNSET = (
    "Web search is not set up here. An administrator sets PENSTOCK_WEB_SEARCH to searxng (with PENSTOCK_WEB_SEARCH_URL), "
    "to brave or tavily (with PENSTOCK_WEB_SEARCH_API_KEY), or to duckduckgo."
)


class WebSearch:
    """The service of what is on the web."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._engine = settings.web_search
        self._calls = calls

    async def search(self, principal: Principal, command: SearchWeb) -> list[WebPage]:
        """Pages, the best first, each address once, with their text where that is wanted.

        Raises BadRequest for a query without words, Unavailable where no engine is set, and UpstreamError where it gives nothing.
        """
        if not command.query.strip():
            message = "query: must have something to search for."
            raise BadRequest(message, param="query")
        if self._engine is SearchEngine.NONE:
            raise Unavailable(UNSET)
        spec = JobSpec(
            id=self._calls.new_id(),
            kind=SEARCH_WEB,
            queue=queue_of(SEARCH_WEB),
            owner=principal.id,
            created_at=int(time.time()),
            request_id=request_id(),
        )
        _, found = await self._calls.make(spec, msgspec.json.encode(command))
        return msgspec.json.decode(found, type=list[WebPage])
