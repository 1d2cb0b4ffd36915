"""Every address of the documentation."""

from typing import Any

from api.docs import pages
from api.http.authentication import Access
from api.http.route import Route

HTML = ("text/html",)

ROUTES = (
    Route("GET", "/openapi.json", pages.openapi, Access.ANYONE, counted=False, answer=dict[str, Any], others=((304, None),)),
    Route("GET", "/", pages.front, Access.ANYONE, counted=False, status=307),
    Route("GET", "/docs", pages.swagger, Access.ANYONE, counted=False, media=HTML),
    Route("GET", "/redoc", pages.redoc, Access.ANYONE, counted=False, media=HTML),
)
