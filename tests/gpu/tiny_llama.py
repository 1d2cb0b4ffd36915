"""A small Llama with random weights, written as a GGUF."""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quantize

HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, LAYERS, VOCABULARY, CONTEXT = 128, 256, 4, 2, 3, 320, 2048

Kind = GGMLQuantizationType


def write(
    path: Path,
    *,
    matrices: Kind = Kind.Q4_1,
    embedding: Kind = Kind.Q8_0,
    tied: bool = True,
    scaling: float = 1.0,
    rope_factors: bool = False,
) -> Path:
    """The file, without a tokenizer."""
    random = np.random.default_rng(7)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if scaling > 1:
        writer.add_string("llama.rope.scaling.type", "linear")
        writer.add_float32("llama.rope.scaling.factor", scaling)

    def matrix(name: str, rows: int, columns: int, kind: Kind, spread: float) -> None:
        weights = random.normal(0, spread, (rows, columns)).astype(np.float32)
        writer.add_tensor(f"{name}.weight", quantize(weights, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", random.normal(1, 0.1, HIDDEN).astype(np.float32))

    matrix("token_embd", VOCABULARY, HIDDEN, embedding, 1.0)
    norm("output_norm")
    if not tied:
        matrix("output", VOCABULARY, HIDDEN, embedding, 0.1)
    if rope_factors:
        writer.add_tensor("rope_freqs.weight", np.linspace(1, 4, HIDDEN // HEADS // 2, dtype=np.float32))
    key_values = HIDDEN // HEADS * KV_HEADS
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm")
        norm(f"{block}.ffn_norm")
        for name, rows, columns in (
            ("attn_q", HIDDEN, HIDDEN),
            ("attn_k", key_values, HIDDEN),
            ("attn_v", key_values, HIDDEN),
            ("attn_output", HIDDEN, HIDDEN),
            ("ffn_gate", FEED_FORWARD, HIDDEN),
            ("ffn_up", FEED_FORWARD, HIDDEN),
            ("ffn_down", HIDDEN, FEED_FORWARD),
        ):
            matrix(f"{block}.{name}", rows, columns, matrices, 0.12)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
