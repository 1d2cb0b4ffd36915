"""GraphQL over HTTP and ``graphql-transport-ws``, and the GraphiQL page for browsers."""

import asyncio
from contextlib import ExitStack
from functools import partial
from json import JSONDecodeError
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from aiohttp import WSCloseCode, web
from cross_web import HTTPException
from strawberry.aiohttp.views import GraphQLView
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.base import BaseRequestProtocol
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message
from strawberry.types import ExecutionResult
from strawberry.types.unset import UNSET, UnsetType

from api.http.authentication import COOKIE, is_from_own_page
from api.http.cors import check_websocket_origin
from api.http.keys import BUDGET, HELD_TOKENS, SERVICES, STAY
from api.http.proxies import client_address
from api.http.revocation import HeldToken, check_active
from api.http.static_files import read_page
from core.errors import BadRequest, PenstockError, Unauthenticated
from core.json.depth import read_bounded
from core.models.users import Principal, Role
from schema import schema
from schema.context import Caller, find_token

MEDIA_TYPE = "application/graphql-response+json"
HEARTBEAT_S = 30
CLOSE_S = 1.0
FORBIDDEN = 4403  # as strawberry closes for a token that is not valid from the beginning
MAX_REASON_BYTES = 123
MAX_FRAME_BYTES = 1_048_576
PAGE = read_page("graphiql")
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Handler(BaseGraphQLTransportWSHandler[Caller, None]):
    """Strawberry's, for clients that send anything at all."""

    async def handle_message(self, message: Message) -> None:
        """Close with 4400 where a message, or a part of it, is of a type that the protocol does not know."""
        try:
            if message["type"] == "subscribe":
                msgspec.convert(message, _Subscribe)
            await super().handle_message(message)
        except (TypeError, AttributeError, KeyError, msgspec.ValidationError):
            await self.handle_invalid_message("Failed to parse message")

    async def handle_task_exception(self, error: Exception) -> None:
        """Log what happened in an operation, unless it is that nobody is there any more to be told of it."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)


class _Payload(msgspec.Struct):
    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815 - the protocol's name


class _Subscribe(msgspec.Struct):
    id: str
    payload: _Payload


class View(GraphQLView[Caller, None]):
    """Strawberry's view with our callers, our error bodies, and the status codes of the GraphQL-over-HTTP specification."""

    graphql_transport_ws_handler_class = Handler

    def __init__(self) -> None:
        """Only ``graphql-transport-ws``. Which pages may connect, and for which of them a cookie counts, api.http.cors says."""
        super().__init__(schema, subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,), allowed_origins=("*",))
        self.sockets: WeakKeyDictionary[web.WebSocketResponse, web.Application] = WeakKeyDictionary()

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """For a browser that opens the address."""
        return request.method == "GET" and request.query_params.get("query") is None and "text/html" in request.headers.get("accept", "")

    async def render_graphql_ide(self, request: web.Request) -> web.Response:
        """The page; its scripts come from api.http.static_files."""
        del request
        return web.Response(text=PAGE, content_type="text/html", headers=PAGE_HEADERS)

    async def get_sub_response(self, request: web.Request) -> web.Response:
        """The media type that the client asked for, else JSON."""
        return web.Response(content_type=MEDIA_TYPE if MEDIA_TYPE in request.headers.get("Accept", "") else "application/json")

    async def get_context(self, request: web.Request, response: web.Response | web.WebSocketResponse) -> Caller:
        """Who asks. Nothing is looked up yet: each operation does that for itself."""
        caller = Caller(
            services=request.app[SERVICES],
            token=find_token({"authorization": request.headers.get("Authorization")}) or _cookie(request),
            address=client_address(request),
            note=partial(request.__setitem__, BUDGET),
        )
        if isinstance(response, web.WebSocketResponse):
            caller.lasting, caller.admitted = True, partial(_watch_token, request, response)
        return caller

    async def on_ws_connect(self, context: Caller) -> UnsetType | dict[str, object] | None:
        """A token that is not valid closes the websocket with 4403, and so does one that ends later; without one, one may still sign in."""
        try:
            principal = await context.principal()
        except Unauthenticated as error:
            raise ConnectionRejectionError from error
        if principal and context.presented:
            context.admitted(principal, context.presented)
        ready: UnsetType = UNSET
        return ready

    async def process_result(self, request: web.Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """An operation that was never run has no ``data``, not null data."""
        answer = await super().process_result(request, result)
        if result.data is None and result.errors and not any(error.path for error in result.errors):
            del answer["data"]
        return answer

    def create_response(self, response_data: Any, sub_response: web.Response) -> web.Response:
        """200, or 400 under the newer media type where nothing was run."""
        sub_response.body = _encode(response_data)
        if sub_response.content_type == MEDIA_TYPE and "data" not in response_data:
            sub_response.set_status(400)
        return sub_response

    def decode_json(self, data: str | bytes) -> object:
        """Bodies, variables and messages are JSON objects, all of them."""
        try:
            return read_bounded(data, lambda: _decode(data))
        except (msgspec.DecodeError, RecursionError) as error:
            raise JSONDecodeError(str(error), "", 0) from None

    def encode_json(self, data: object) -> str:
        """As text: a websocket's messages are text frames."""
        return _encode(data).decode()

    async def create_websocket_response(self, request: web.Request, subprotocol: str | None) -> web.WebSocketResponse:
        """With a heartbeat, so that the listener of a client that is gone ends, and a bound on what one message may hold."""
        protocols = (subprotocol,) if subprotocol else ()
        socket = web.WebSocketResponse(protocols=protocols, timeout=CLOSE_S, heartbeat=HEARTBEAT_S, max_msg_size=MAX_FRAME_BYTES)
        await socket.prepare(request)
        self.sockets[socket] = request.app
        return socket


_view = View()


async def graphql(request: web.Request) -> web.StreamResponse:
    """``/graphql``: an operation.

    By ``GET`` a query, the page for browsers, or a websocket; by ``POST`` any operation. Errors are GraphQL's in shape, also those of HTTP.
    """
    if request.method == "POST" and request.content_type != "application/json":
        return _refused(415, "Send the operation as application/json.")
    if "Upgrade" in request.headers:
        check_websocket_origin(request)
    try:
        with ExitStack() as request[STAY]:
            return await _view.run(request)
    except HTTPException as error:
        if request.method == "GET" and isinstance(error.__cause__, InvalidOperationTypeError):
            return _refused(405, "Only queries come by GET. Send this operation by POST.", Allow="POST")
        return _refused(error.status_code, error.reason)


async def close_sockets(app: web.Application) -> None:
    """For ``on_shutdown``: clients are told to come back (they resume by ``after``), and nothing keeps the process."""
    sockets = [socket for socket, owner in _view.sockets.items() if owner is app]
    await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY, message=b"The server is going away") for socket in sockets))


def _watch_token(request: web.Request, socket: web.WebSocketResponse, principal: Principal, token: str) -> None:
    """For as long as the websocket is open. One whose user still waits for their activation may stay so; one who was active must."""
    active = principal.user.role is not Role.PENDING

    def may(now: Principal) -> None:
        nonlocal active
        if active:
            check_active(now)
        active = now.user.role is not Role.PENDING

    held = HeldToken(token=token, user_id=principal.id, may=may, end=partial(_close_for, request, socket))
    request[STAY].enter_context(request.app[HELD_TOKENS].holding(held))


async def _close_for(request: web.Request, socket: web.WebSocketResponse, error: PenstockError) -> None:
    """Say why, but do not wait for one who does not read."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=FORBIDDEN, message=error.detail.encode()[:MAX_REASON_BYTES])
    except TimeoutError:
        if request.transport:
            request.transport.abort()


def _refused(status: int, message: str, **headers: str) -> web.Response:
    body = {"errors": [{"message": message, "extensions": {"code": BadRequest.code}}]}
    return web.Response(status=status, body=_encode(body), content_type="application/json", headers=headers)


def _cookie(request: web.Request) -> str | None:
    return request.cookies.get(COOKIE) if is_from_own_page(request) else None
