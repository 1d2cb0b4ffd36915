"""What an engine is told about its model and its limits. Imports no torch."""

import msgspec


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``rows``: requests in one batch. ``cache_tokens``: tokens that all rows together may hold.

    A prompt that begins with at least ``least_shared`` ids like another takes over what that has computed.

    How many tokens of prompts a step may serve beside running answers follows from ``step_seconds``: more starts newcomers sooner, less
    keeps the running ones steadier. It begins at ``first_prefill`` and stays within ``least_prefill`` and ``most_prefill``.
    """

    rows: int = 32
    cache_tokens: int = 1 << 20
    least_shared: int = 16
    step_seconds: float = 0.5
    first_prefill: int = 128
    least_prefill: int = 64
    most_prefill: int = 2048


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A Llama's shape. ``rope_scaling``: what positions are divided by."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    feed_forward: int
    vocabulary: int
    context_length: int
    norm_epsilon: float
    rope_theta: float
    rope_scaling: float = 1.0
