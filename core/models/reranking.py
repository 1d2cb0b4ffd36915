"""Passages that are to be put in the order in which they fit a question."""

import msgspec


class RerankTask(msgspec.Struct, frozen=True, kw_only=True):
    """A job's input; its result is a list of as many numbers, 0 to 1, higher is better."""

    query: str
    passages: list[str]
