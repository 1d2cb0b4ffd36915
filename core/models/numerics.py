"""How a worker computes a model: whether it can go on from another's tokens bit for bit, and why."""

from typing import Literal

import msgspec

Continued = Literal["exact", "equivalent"]
CHECKED = (
    "numerics-*.json"  # in a model's folder below <data folder>/models, one for each processor, compiled kernels and number of threads
)


class Numerics(msgspec.Struct, frozen=True, kw_only=True):
    """Of a loaded model. ``fingerprint``: equal on two workers only where they compute the same bits; "" where it is not known.

    ``text``: one line for people, which way of computing was chosen and why.
    """

    continued: Continued
    fingerprint: str = ""
    text: str = ""


class Checked(Numerics, frozen=True, kw_only=True):
    """What a self-check found, in a file that is named as CHECKED says. ``way``: what was chosen; ``seconds``: how long it took."""

    model: str
    way: str
    seconds: float
    processor: str
    threads: int
    kernels: str
