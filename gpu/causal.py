"""Any causal model of transformers over the slot cache: the running answers in one call, prompts of about one length in another.

Results differ from ``generate``'s by rounding only; but they are not independent of the batch, so an answer is continued ``equivalent``.
Layers that forget (sliding windows) or keep a state (linear attention) need another cache: such models are refused when they are loaded.
"""

import inspect
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from core.errors import SettingsError
from core.models.numerics import Numerics
from gpu import torch_sampler
from gpu.cache import Shape
from gpu.forward import Batch
from gpu.prefix_cache import Copy
from gpu.sequence import Sequence
from gpu.slots import SlotCache, SlotView, Window

PROBE_TOKENS = 8
DEFAULT_CONTEXT = 2048
MAX_PADDING = 1.25
ELSEWHERE = "Serve it by vLLM and add that as an upstream."
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length")


def load_folder(folder: Path, device: str, threads: int) -> "CausalForward":
    """A folder of safetensors, float32 on a CPU, bfloat16 on CUDA. Raises SettingsError for a model that this engine does not run."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa", local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        message = f"{folder} cannot be loaded as a causal language model ({str(error).splitlines()[0]})."
        raise SettingsError(message) from None
    return CausalForward(model, device, threads)


class _Tokens(NamedTuple):
    """Of a step, each [tokens]."""

    ids: torch.Tensor
    positions: torch.Tensor
    rows: torch.Tensor


class CausalForward:
    """The model with its cache."""

    numerics = Numerics(continued="equivalent", text="equivalent: computed by transformers")

    def __init__(self, model: PreTrainedModel, device: str, threads: int) -> None:
        """``threads``: of the processor, where it computes."""
        self._device = torch.device(device)
        self._threads = threads
        self._model = model.eval().to(self._device)
        self.device = device
        config = model.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        self.context_length = next((int(length) for name in CONTEXT_NAMES if (length := getattr(config, name, None))), DEFAULT_CONTEXT)
        self.shape = _probe(self._model)
        self._keeps_some = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._cache: SlotCache
        self._view: SlotView
        self._places: torch.Tensor

    def allocate(self, rows: int, length: int) -> None:
        """Make the cache."""
        self._cache = SlotCache(self.shape, self._model.dtype, rows=rows, length=length, device=self._device)
        self._view = SlotView(self._cache)
        self._places = torch.arange(length, device=self._device)

    def release(self, row: int) -> None:
        """Give a row's memory back."""
        self._cache.release(row)

    def copy(self, copy: Copy) -> None:
        """Take over another row's first tokens."""
        self._cache.copy(copy)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> torch.Tensor:
        """Logits [wanted, vocabulary] in the model's own type."""
        torch.set_num_threads(self._threads)  # of this thread
        running = [run.start for run in batch.runs if run.is_single]
        groups = [[(place, place + 1) for place in running]] if running else []
        positions = batch.positions
        step = _Tokens(*(torch.tensor(numbers, device=self._device) for numbers in (batch.ids, batch.positions, batch.rows)))
        for group in join_runs([(run.start, run.stop) for run in batch.runs if not run.is_single]):
            longest = max(stop - start for start, stop in group)
            fits = all(positions[start] + longest <= self._places.shape[0] for start, _ in group)
            groups += [group] if fits else [[run] for run in group]
        made = [
            self._call(step, group, {positions[start] for start, _ in group}, max(positions[stop - 1] for _, stop in group) + 1)
            for group in groups
        ]
        places = [stop - 1 for group in groups for _, stop in group]
        logits = made[0] if len(made) == 1 else torch.cat(made)
        return logits if places == batch.wanted else logits[[places.index(place) for place in batch.wanted]]

    def choose(self, logits: torch.Tensor, sequences: list[Sequence]) -> list[int | None]:
        """The next id of each sequence."""
        return torch_sampler.choose(logits, sequences)

    def log_probabilities(self, row: torch.Tensor) -> npt.NDArray[np.float32]:
        """Of one row of logits."""
        made: npt.NDArray[np.float32] = row.float().log_softmax(-1).cpu().numpy()
        return made

    def _call(self, step: _Tokens, group: list[tuple[int, int]], firsts: set[int], length: int) -> torch.Tensor:
        """Runs of tokens, padded at their ends to the longest, to their last tokens' logits [runs, vocabulary].

        ``firsts``: the positions they begin at. What padding writes into the cache stands where the row's next tokens will, and nobody
        sees it. Runs that all begin at 0, or are single tokens at one position, need no mask: attention is faster without.
        """
        counts = [stop - start for start, stop in group]
        longest = max(counts)
        starts = torch.tensor([start for start, _ in group], device=self._device)[:, None]
        steps = torch.arange(longest, device=self._device)
        index = starts + torch.minimum(steps, torch.tensor(counts, device=self._device)[:, None] - 1)
        positions = step.positions[starts] + steps
        rows = step.rows[starts]
        self._view.look(Window(rows, positions, _as_slice(rows.flatten().tolist()) or rows.flatten(), length))
        is_plain = firsts == {0} or (longest == 1 and len(firsts) == 1)
        mask = None if is_plain else (self._places[:length] <= positions[..., None])[:, None]
        lasts = sorted({count - 1 for count in counts})
        kept: dict[str, Any] = {"logits_to_keep": torch.tensor(lasts, device=self._device)} if self._keeps_some else {}
        output = self._model(
            input_ids=step.ids[index], position_ids=positions, attention_mask=mask, past_key_values=self._view, use_cache=True, **kept
        )
        logits: torch.Tensor = output.logits
        places = [lasts.index(count - 1) if kept else count - 1 for count in counts]
        return logits[:, places[0]] if len(set(places)) == 1 else logits[torch.arange(len(counts), device=self._device), places]


def join_runs(runs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Runs (start, stop) of about one length together, so that padding them costs less than a call of its own would."""
    groups: list[list[tuple[int, int]]] = []
    for start, stop in sorted(runs, key=lambda run: run[1] - run[0]):
        group = groups[-1] if groups else []
        total = sum(last - first for first, last in group) + stop - start
        if group and (len(group) + 1) * (stop - start) <= MAX_PADDING * total:
            group.append((start, stop))
        else:
            groups.append([(start, stop)])
    return groups


def _as_slice(rows: list[int]) -> slice | None:
    """Neighbouring rows as a view: their keys and values need not be copied."""
    return slice(rows[0], rows[-1] + 1) if rows == list(range(rows[0], rows[0] + len(rows))) else None


@torch.inference_mode()
def _probe(model: PreTrainedModel) -> Shape:
    """What the model keeps of a token, as a short call shows it."""
    name = type(model).__name__
    cache = DynamicCache(config=model.config)
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        message = f"{name} uses sliding-window or linear-attention layers, which this engine's cache does not hold. {ELSEWHERE}"
        raise SettingsError(message)
    try:
        model(input_ids=torch.arange(1, 1 + PROBE_TOKENS, device=model.device)[None], past_key_values=cache, use_cache=True)
        parts = [
            part for layer in cache.layers for part in (getattr(layer, "keys", None), getattr(layer, "values", None)) if part is not None
        ]
        ((_, heads, tokens, size),) = {tuple(part.shape) for part in parts}
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        message = f"{name} keeps its keys and values in a way that this engine's cache does not hold ({error}). {ELSEWHERE}"
        raise SettingsError(message) from None
    if tokens != PROBE_TOKENS:
        message = f"{name} does not keep every token in its cache, as this engine's cache does. {ELSEWHERE}"
        raise SettingsError(message)
    return Shape(layers=len(cache.layers), heads=heads, size=size, item_bytes=model.dtype.itemsize)
