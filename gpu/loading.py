"""Opening a model: its weights and its tokenizer, with what can be kept from one start to the next."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from gpu import tokenizer
from gpu.cores import Cores
from gpu.devices import CPU
from gpu.forward import Forward
from gpu.kernels import KernelsMissing, compile_kernels, targets
from gpu.llama import LlamaForward
from gpu.numerics import examine
from gpu.packing import fingerprint, load_packed
from gpu.sources import Format, ModelSource
from gpu.tokenizer import ChatTokenizer


def open_model(
    source: ModelSource, *, device: str, threads: Sequence[int], cache_dir: Path, progress: Callable[[str], None]
) -> tuple[Forward, ChatTokenizer]:
    """A model ready to run, on one of these numbers of threads. ``cache_dir`` keeps what was made of a GGUF.

    Raises SettingsError for a model that cannot be run.
    """
    if source.format is Format.GGUF:
        folder = cache_dir / f"{source.id}-{fingerprint(source.path)}"
        words = tokenizer.of_gguf(source.path, folder, progress)
        return _gguf(source, folder, device, threads, progress), words
    from gpu.causal import load_folder  # noqa: PLC0415 - transformers takes seconds to import, and a GGUF does without

    return load_folder(source.path, device, threads[0]), tokenizer.of_folder(source.path)


def _gguf(source: ModelSource, folder: Path, device: str, threads: Sequence[int], progress: Callable[[str], None]) -> Forward:
    reason = ""
    if device == CPU:
        try:
            return _exact(source, folder, threads, progress)
        except KernelsMissing as error:
            reason = error.detail
            progress(f"{reason} {source.id} is computed by transformers, slower")
    from gpu.causal import CausalForward  # noqa: PLC0415 - see above
    from gpu.gguf_to_transformers import as_transformers  # noqa: PLC0415 - see above

    forward = CausalForward(as_transformers(source.path, "float32" if device == CPU else "bfloat16"), device, threads[0])
    if reason:
        forward.numerics = msgspec.structs.replace(forward.numerics, text=f"{forward.numerics.text}. {reason}")
    return forward


def _exact(source: ModelSource, folder: Path, threads: Sequence[int], progress: Callable[[str], None]) -> LlamaForward:
    """On our own kernels, for the first processor that they are exact for; where there is none, as they are."""
    packed = load_packed(source.path, folder, progress)
    found: list[LlamaForward] = []
    for target in targets():
        forward = LlamaForward(*packed, compile_kernels(folder.parent, target, progress))
        useful = tuple(dict.fromkeys(min(number, forward.most_threads) for number in threads))
        forward.numerics = checked = examine(forward, source.id, folder, useful)
        forward.cores = Cores(least=useful[0], most=checked.threads)
        found.append(forward)
        if checked.continued == "exact":
            return forward
    return found[0]
