"""A BERT encoder by torch: on a GPU, or where there are no kernels of our own."""

from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file
from torch.nn import functional

from gpu.bert import Pieces, Vectors, read_config


class TorchBertEncoder:
    """The model on a device: float32 on a CPU, float16 on CUDA (3e-4 off at most); its vectors are pooled and normalised in float32."""

    def __init__(self, folder: Path, device: str, threads: int) -> None:
        """``threads``: of a CPU. Raises SettingsError for a model of another kind."""
        config = read_config(folder)
        self._device = torch.device(device)
        if self._device.type == "cpu":
            torch.set_num_threads(threads)  # of this thread
        dtype = torch.float32 if self._device.type == "cpu" else torch.float16
        self.dtype = str(dtype).removeprefix("torch.")
        weights = load_file(folder / "model.safetensors", device=device)
        self._weights = {name: weight.to(dtype) for name, weight in weights.items() if weight.is_floating_point()}
        self._config = config
        for layer in range(config.num_hidden_layers):
            self._fuse(f"encoder.layer.{layer}.attention.self")

    @torch.inference_mode()
    def __call__(self, texts: list[list[int]]) -> Vectors:
        """All layers, one after the other."""
        begun = self._begin(texts)
        for layer in range(self._config.num_hidden_layers):
            begun.x = self._layer(begun.x, begun.mask, f"encoder.layer.{layer}")
        return _pool(begun)

    @torch.inference_mode()
    def pieces(self, texts: list[list[int]]) -> Pieces:
        """A layer at a time."""
        begun = self._begin(texts)
        for layer in range(self._config.num_hidden_layers):
            if layer:
                if self._device.type == "cuda":
                    torch.cuda.synchronize(self._device)  # a piece ends when it has been computed
                yield
            begun.x = self._layer(begun.x, begun.mask, f"encoder.layer.{layer}")
        return _pool(begun)

    def _begin(self, texts: list[list[int]]) -> "_Begun":
        config, weights = self._config, self._weights
        lengths = torch.tensor([len(ids) for ids in texts], device=self._device)
        longest = max(map(len, texts))
        ids = torch.tensor([ids + [config.pad_token_id] * (longest - len(ids)) for ids in texts], device=self._device)
        real = torch.arange(longest, device=self._device) < lengths[:, None]
        mask = None if min(map(len, texts)) == longest else real[:, None, None]
        x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x + weights["embeddings.position_embeddings.weight"][:longest], "embeddings.LayerNorm")
        return _Begun(x, mask, real, lengths)

    def _layer(self, x: torch.Tensor, mask: torch.Tensor | None, name: str) -> torch.Tensor:
        count, length, hidden = x.shape
        heads = self._config.num_attention_heads
        query, keys, values = self._linear(x, f"{name}.attention.self").view(count, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        seen = seen.transpose(1, 2).reshape(count, length, hidden)
        x = self._norm(x + self._linear(seen, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = functional.gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(
            x, (self._config.hidden_size,), self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], self._config.layer_norm_eps
        )

    def _fuse(self, name: str) -> None:
        """Query, keys and values by one multiplication."""
        for kind in ("weight", "bias"):
            self._weights[f"{name}.{kind}"] = torch.cat([self._weights.pop(f"{name}.{part}.{kind}") for part in ("query", "key", "value")])


class _Begun(msgspec.Struct):
    """Texts on their way through the layers. ``real``: which places are no padding."""

    x: torch.Tensor
    mask: torch.Tensor | None
    real: torch.Tensor
    lengths: torch.Tensor


def _pool(begun: _Begun) -> Vectors:
    pooled = (begun.x.float() * begun.real[..., None]).sum(1) / begun.lengths[:, None]
    vectors: Vectors = functional.normalize(pooled, dim=-1).cpu().numpy()
    return vectors
