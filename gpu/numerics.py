"""Whether a token's bits follow from its own row alone, looked at where the worker runs; and which bits those are.

gpu/kernels.h gives a row the same bits by construction. What that leaves to others: that the compiler made of it what it says, on this
processor; and torch's softmax and running sums, which answers are drawn with. Both are looked at with the model itself.
"""

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import torch

from core.models.numerics import CHECKED, Checked
from gpu.forward import Batch, Run
from gpu.llama import LlamaForward
from gpu.sampler import sums_of

ROWS = 3
PAST = 61
TOKENS = 13
TEMPERATURE = 0.7
PRIME = 7_919

_Piece = tuple[int, int, int]  # row, first and last token


def examined(forward: LlamaForward, model_id: str, folder: Path, threads: Sequence[int]) -> Checked:
    """What is known of a model here; looked at now where ``folder`` has not kept it. Leaves the model without a cache.

    The first of ``threads`` is what the others are held against. ``threads`` of the answer: up to how many give the same bits.
    """
    began = time.perf_counter()
    forward.allocate(ROWS, PAST + 2 * TOKENS)
    forward.threads = threads[0]
    whole = _said(forward, [[(0, 0, TOKENS)]])
    fingerprint = _digits(whole)
    processor = _processor()
    told = hashlib.sha256(f"{processor} {torch.__version__} {forward.kernels.name} {list(threads)}".encode())
    kept = folder / CHECKED.replace("*", told.hexdigest()[:16])
    if kept.is_file():
        try:
            known = msgspec.json.decode(kept.read_bytes(), type=Checked)
        except msgspec.MsgspecError:
            known = None
        if known and known.fingerprint == fingerprint:
            return known
    faults = _faults(forward, whole, threads)
    holding = [number for number in threads if not faults[number]]
    seconds = time.perf_counter() - began
    exact = threads[0] in holding
    found = Checked(
        model=model_id,
        continued="exact" if exact else "equivalent",
        fingerprint=fingerprint if exact else "",
        way=forward.kernels.target,
        text=_words(forward.kernels.target, holding if exact else [], faults, seconds),
        seconds=round(seconds, 3),
        processor=processor,
        threads=max(holding) if exact else threads[0],
        torch=str(torch.__version__),
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(f".{time.time_ns()}")
    draft.write_bytes(msgspec.json.encode(found))
    draft.replace(kept)
    return found


def _words(target: str, holding: list[int], faults: dict[int, list[str]], seconds: float) -> str:
    said = "; ".join(dict.fromkeys(fault for found in faults.values() for fault in found))
    if not holding:
        return f"equivalent: kernels compiled for {target} gave other bits: {said}"
    number = f"{holding[0]} thread{'s' * (holding[0] > 1)}" if len(holding) == 1 else f"{min(holding)} to {max(holding)} threads"
    return f"exact: kernels compiled for {target}, {number}, checked in {seconds:.2f} s" + (f"; not used: {said}" if said else "")


@torch.inference_mode()
def _faults(forward: LlamaForward, whole: torch.Tensor, threads: Sequence[int]) -> dict[int, list[str]]:
    """Of each number of threads, what gave other bits than ``whole``, in words."""
    faults: dict[int, list[str]] = {}
    for number in threads:
        forward.threads = number
        faults[number] = [f"{name}, {number} threads" for name, look in _looks(forward) if not torch.equal(look(), whole)]
    forward.threads = threads[0]
    sums = _sums(whole)
    if not torch.equal(torch.cat([_sums(whole[place : place + 1]) for place in range(len(whole))]), sums):
        faults[threads[0]].append("softmax beside other rows")
    return faults


def _looks(forward: LlamaForward) -> Iterator[tuple[str, Callable[[], torch.Tensor]]]:
    """The same tokens' logits in other ways."""
    pieces = [(0, 1), (1, 3), (3, 6), (6, 10), (10, 13)]
    beside = [[(0, start, stop), (1, 2, 2 + place), (2, 0, 1)] for place, (start, stop) in enumerate(pieces)]
    yield "in one piece", lambda: _said(forward, [[(0, 0, TOKENS)]])
    yield "in another row", lambda: _said(forward, [[(2, 0, TOKENS)]])
    yield "one by one", lambda: _said(forward, [[(1, place, place + 1)] for place in range(TOKENS)])
    yield "in pieces beside others", lambda: _said(forward, beside)


@torch.inference_mode()
def _said(forward: LlamaForward, steps: Sequence[Sequence[_Piece]]) -> torch.Tensor:
    """The logits of each step's first pieces, after a past that is made up."""
    shape, cache = forward.shape, forward.cache
    past = _numbers(PAST, shape.layers * 2 * shape.heads * shape.size).view(PAST, shape.layers, 2 * shape.heads, shape.size)
    for layer, tokens in enumerate(cache.tokens):
        tokens[:, :PAST] = past[:, layer]
        tokens[:, PAST:] = 0
    return torch.cat([forward(_batch(forward.vocabulary, step))[: step[0][2] - step[0][1]] for step in steps])


def _batch(vocabulary: int, pieces: Sequence[_Piece]) -> Batch:
    places = [place for _, start, stop in pieces for place in range(start, stop)]
    rows = [row for row, start, stop in pieces for _ in range(start, stop)]
    runs: list[Run] = []
    for _, start, stop in pieces:
        begin = runs[-1].stop if runs else 0
        runs.append(Run(begin, begin + stop - start))
    ids = [(place + 1) * PRIME % vocabulary for place in places]
    return Batch(torch.tensor(ids), torch.tensor(places) + PAST, torch.tensor(rows), runs, list(range(len(places))))


def _sums(logits: torch.Tensor) -> torch.Tensor:
    return sums_of(logits, logits.amax(-1), torch.full((len(logits),), TEMPERATURE))


def _digits(whole: torch.Tensor) -> str:
    """16 hex digits of the bits: of the logits, and of what answers are drawn with."""
    told = hashlib.blake2b(whole.numpy().tobytes(), digest_size=8)
    told.update(_sums(whole).numpy().tobytes())
    return told.hexdigest()


def _numbers(rows: int, columns: int) -> torch.Tensor:
    """Numbers between -1 and 1 without a pattern, float32 [rows, columns]; the same on any machine."""
    count = torch.arange(rows * columns)
    return ((count * PRIME + (count >> 7) * 104_729) % 20_011 - 10_005).float().div_(10_005).view(rows, columns)


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
