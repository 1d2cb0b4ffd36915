"""Opening a model: its weights and its tokenizer, with what can be kept from one start to the next."""

from collections.abc import Callable
from pathlib import Path

import torch

from gpu import tokenizer
from gpu.forward import Forward
from gpu.llama import LlamaForward
from gpu.packing import fingerprint, load_packed
from gpu.sources import Format, ModelSource
from gpu.tokenizer import ChatTokenizer


def open_model(
    source: ModelSource, *, device: torch.device, cache_dir: Path, progress: Callable[[str], None]
) -> tuple[Forward, ChatTokenizer]:
    """A model ready to run. ``cache_dir`` keeps what was made of a GGUF. Raises SettingsError for a model that cannot be run."""
    if source.format is Format.GGUF:
        folder = cache_dir / f"{source.id}-{fingerprint(source.path)}"
        words = tokenizer.of_gguf(source.path, folder, progress)
        return _gguf(source, folder, device, progress), words
    from gpu.causal import load_folder  # noqa: PLC0415 - transformers takes seconds to import, and a GGUF does without

    return load_folder(source.path, device), tokenizer.of_folder(source.path)


def _gguf(source: ModelSource, folder: Path, device: torch.device, progress: Callable[[str], None]) -> Forward:
    if device.type == "cpu":
        return LlamaForward(*load_packed(source.path, folder, progress))
    from gpu.causal import CausalForward  # noqa: PLC0415 - see above
    from gpu.dequantised import as_transformers  # noqa: PLC0415 - see above

    return CausalForward(as_transformers(source.path, torch.bfloat16), device)
