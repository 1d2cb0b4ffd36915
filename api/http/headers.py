"""The headers that every answer carries."""

from aiohttp import web

from api.http.keys import BUDGET, GENERATION_ID, REQUEST_ID
from api.http.request_log import ID_HEADER, new_request_id

SERVER = "Penstock"
SECURE_AGE_S = 31_536_000
BARE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": SERVER,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_BARE = tuple((name, value) for name, value in BARE.items() if name != "Server")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For ``on_response_prepare``: what keeps browsers safe, where the handler has not said otherwise, and what clients want to know."""
    headers = response.headers
    headers["Server"] = SERVER
    for name, value in _BARE:
        headers.setdefault(name, value)
    if request.secure:
        headers["Strict-Transport-Security"] = f"max-age={SECURE_AGE_S}"
    headers[ID_HEADER] = request.get(REQUEST_ID) or new_request_id()
    generation_id = request.get(GENERATION_ID)
    if generation_id:
        headers["X-Generation-Id"] = generation_id
    budget = request.get(BUDGET)
    if budget:
        headers["X-RateLimit-Limit"] = str(budget.limit)
        headers["X-RateLimit-Remaining"] = str(budget.remaining)
        headers["X-RateLimit-Reset"] = str(budget.resets_at)
