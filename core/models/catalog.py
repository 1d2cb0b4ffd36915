"""The models that can be asked."""

import msgspec


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """``created``: Unix seconds. ``pool``: the worker pool that answers for it. ``context_length`` in tokens, where known."""

    id: str
    name: str
    owned_by: str
    created: int
    pool: str
    context_length: int | None = None
