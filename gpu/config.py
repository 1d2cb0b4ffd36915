"""What an engine is told about its model and its limits. Imports no torch."""

import msgspec


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``rows``: requests in one batch. ``prefill_tokens``: how much of waiting prompts one step may serve beside the running rows: more
    starts newcomers sooner, less keeps the running ones steadier. ``cache_tokens``: tokens that all rows together may hold.
    """

    rows: int = 32
    prefill_tokens: int = 128
    cache_tokens: int = 1 << 20


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
