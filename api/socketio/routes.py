"""Socket.IO's addresses."""

from api.http.authentication import Access
from api.http.route import Route
from api.socketio.transport import Transport, socket_io

TEXT = ("text/plain",)
SOCKET = ("/ws/socket.io/",)

ROUTES = (
    Route("GET", "/socket.io/", socket_io, Access.ANYONE, counted=False, query=Transport, also=SOCKET, media=TEXT, errors=(400, 403)),
    Route("POST", "/socket.io/", socket_io, Access.ANYONE, counted=False, query=Transport, also=SOCKET, media=TEXT, errors=(400, 403)),
    Route("OPTIONS", "/socket.io/", socket_io, Access.ANYONE, counted=False, also=SOCKET, media=TEXT, errors=(400, 403)),
)
