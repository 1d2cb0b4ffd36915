"""What administrators decide while the product runs."""

from aiohttp import web

from api.http.json import json_response, read
from api.http.keys import PRINCIPAL, SERVICES
from core.models.configs import FunctionRightChanges, FunctionRights, RateLimitChanges, RateLimits


async def rate_limits(request: web.Request) -> web.Response:
    """``GET /api/configs/rate_limits``: the limits in force."""
    return json_response(await request.app[SERVICES].configs.get_for_administrator(request[PRINCIPAL], RateLimits))


async def set_rate_limits(request: web.Request) -> web.Response:
    """``POST /api/configs/rate_limits``: change the limits.

    In force on every web process within a second, and after a restart. Fields not given stay.
    """
    changes = await read(request, RateLimitChanges)
    return json_response(await request.app[SERVICES].configs.change(request[PRINCIPAL], RateLimits, changes))


async def functions(request: web.Request) -> web.Response:
    """``GET /api/configs/functions``: who may write functions beside administrators."""
    return json_response(await request.app[SERVICES].configs.get_for_administrator(request[PRINCIPAL], FunctionRights))


async def set_functions(request: web.Request) -> web.Response:
    """``POST /api/configs/functions``: say who may write functions, by role and by user. Fields not given stay."""
    changes = await read(request, FunctionRightChanges)
    return json_response(await request.app[SERVICES].configs.change(request[PRINCIPAL], FunctionRights, changes))
