"""A GGUF's Llama as transformers' own module, its weights dequantised.

For CUDA, where torch's int4 kernel for processors does not run, and to measure against.
"""

from pathlib import Path
from typing import Literal

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from gpu.gguf import GgufFile

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OUTER = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}


def as_transformers(path: Path, dtype: Literal["float32", "bfloat16"]) -> LlamaForCausalLM:
    """The model, on the CPU. Raises SettingsError where the file is no plain Llama."""
    file = GgufFile(path)
    shape = file.config
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_size,
        max_position_embeddings=shape.context_length,
        rms_norm_eps=shape.norm_epsilon,
        tie_word_embeddings="output.weight" not in file,
        rope_parameters={"rope_type": "linear", "rope_theta": shape.rope_theta, "factor": shape.rope_scaling}
        if shape.rope_scaling > 1
        else {"rope_type": "default", "rope_theta": shape.rope_theta},
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            weight.copy_(_weight(file, name))
    torch.nn.Module.to(model, getattr(torch, dtype))
    model.train(mode=False)
    return model


def _weight(file: GgufFile, name: str) -> torch.Tensor:
    if name in OUTER:
        return torch.from_numpy(file.floats(OUTER[name]))
    _, _, layer, *parts = name.split(".")
    source = NAMES[".".join(parts[:-1])]
    weight = torch.from_numpy(file.floats(f"blk.{layer}.{source}.weight"))
    heads = {"attn_q": file.config.heads, "attn_k": file.config.kv_heads}.get(source)
    return weight if heads is None else weight.view(heads, -1, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
