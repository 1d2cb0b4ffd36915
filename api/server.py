"""The HTTP server below the application: what happens before a request has a route."""

from typing import Any

from aiohttp import web

from api.addresses import Proxies
from api.keys import SETTINGS

SHUTDOWN_S = 2.0


class Runner(web.AppRunner):
    """An application with this server under it."""

    def __init__(self, app: web.Application, *, shutdown_timeout: float = SHUTDOWN_S) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_timeout)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        proxies = Proxies(self.app[SETTINGS].trusted_proxies)
        if proxies:
            server.request_factory = _behind(proxies, server.request_factory)
        return server


def _behind(proxies: Proxies, make: Any) -> Any:
    """Requests whose scheme, host and remote are those that the client knows."""

    def request(*parts: Any) -> web.BaseRequest:
        made: web.BaseRequest = make(*parts)
        seen = proxies.seen(made.remote or "", made.headers)
        return made.clone(**{name: value for name, value in seen._asdict().items() if value}) if seen else made

    return request
