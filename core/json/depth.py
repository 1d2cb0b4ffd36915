"""How deeply JSON may be nested: what is taken once must be readable wherever it is read again, also where more calls are on the stack."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FLAT = 200  # levels that can be read anywhere
SPARE_CALLS = 250

TOO_DEEP = "it is nested too deeply"


def read_bounded(text: bytes | str, read: Callable[[], T]) -> T:
    """What ``read`` makes of JSON, given fewer calls than others will have. Raises RecursionError where it is nested too deeply.

    The interpreter counts its calls and a decoder's levels together. A text of few brackets is not looked at twice.
    """
    brackets = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    return read() if brackets <= FLAT else _higher(SPARE_CALLS, read)


def _higher(calls: int, read: Callable[[], T]) -> T:
    return _higher(calls - 1, read) if calls else read()
