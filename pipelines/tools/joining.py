"""Calls of tools put together from the pieces in which OpenAI's streams bring them."""

from typing import Any


class JoinedCalls:
    """Pieces are told apart by ``index``: the first has id and name, later ones more of the arguments.

    Whole calls have no index, and follow each other; so do those of servers that give each the same index and an id of its own.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._places: dict[int, int] = {}

    def add(self, piece: dict[str, Any]) -> int:
        """One more piece; which of the calls it belongs to."""
        index = piece.get("index")
        rest = {name: value for name, value in piece.items() if name != "index"}
        place = self._places.get(index) if isinstance(index, int) else None
        if place is None or _is_another(self.calls[place], rest):
            self.calls.append(rest)
            place = len(self.calls) - 1
            if isinstance(index, int):
                self._places[index] = place
        else:
            self.calls[place] = _joined(self.calls[place], rest)
        return place


def _is_another(call: dict[str, Any], piece: dict[str, Any]) -> bool:
    return bool(piece.get("id") and call.get("id") and piece["id"] != call["id"])


def _joined(call: dict[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    function, added = members_of(call.get("function")), members_of(piece.pop("function", None))
    arguments = text_of(function.get("arguments")) + text_of(added.get("arguments"))
    return {
        **call,
        **{name: value for name, value in piece.items() if value},
        "function": {**function, **{name: value for name, value in added.items() if value}, "arguments": arguments},
    }


def members_of(value: Any) -> dict[str, Any]:
    """An object's members; none of what is no object."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """A text; an empty one of what is none."""
    return value if isinstance(value, str) else ""
