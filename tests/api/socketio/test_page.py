from pathlib import Path

from api.http.revocation import CHECK_S
from api.socketio.authentication import MAX_PER_USER
from api.socketio.handlers import GRACE_S, MAX_PAYLOAD_BYTES, MAX_ROOMS_PER_SOCKET
from api.socketio.schemas import MAX_RESUMED, Join, Leave, Message, SentMessage, Stop
from api.socketio.server import MAX_PACKET_BYTES
from core.redis.presence import LEASE_MS, RENEW_S

PAGE = (Path(__file__).parents[3] / "docs" / "sockets.md").read_text()
MEBI = 1_048_576


def test_the_page_names_what_may_be_sent() -> None:
    for event, kind in (("join_chat", Join), ("leave_chat", Leave), ("stop", Stop), ("message", Message), ("message", SentMessage)):
        assert f"`{event} {{" in PAGE
        for field in kind.__struct_fields__:
            assert field in PAGE, f"{event}: {field}"


def test_the_page_names_the_limits_that_hold() -> None:
    for words in (
        f"{MAX_PAYLOAD_BYTES // MEBI} MiB an event",
        f"above {MAX_PACKET_BYTES // MEBI} MiB",
        f"{MAX_ROOMS_PER_SOCKET} rooms a connection",
        f"{MAX_PER_USER} connections of a user",
        f"{MAX_RESUMED} answers in `after`",
        f"within {GRACE_S:g} seconds",
        f"every {CHECK_S:g} seconds",
        f"{LEASE_MS / 1000:g} to {LEASE_MS / 1000 + RENEW_S:g} seconds",
    ):
        assert words in PAGE, words
