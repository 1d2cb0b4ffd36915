"""Free TCP ports."""

import random
import socket

PORTS = range(10_000, 32_000)
"""Linux takes those of connections from 32,768 on: a server that listens a while after its start would find its own taken."""

_draw = random.SystemRandom()


def free_port() -> int:
    """A port that was free a moment ago."""
    while True:
        port = _draw.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
