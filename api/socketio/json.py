"""JSON for Socket.IO's packets, through msgspec, in the form of the standard library's module that python-socketio asks for."""

from typing import Any

import msgspec

from core.json.depth import read_bounded


class SocketJson:
    """A stand-in for the ``json`` module."""

    @staticmethod
    def dumps(value: Any, **_options: Any) -> str:
        """Compact JSON."""
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_options: Any) -> Any:
        """Raises ValueError for what is not JSON."""
        try:
            return read_bounded(text, lambda: msgspec.json.decode(text))
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None
