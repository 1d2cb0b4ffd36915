"""Whether a token's bits follow from its own row alone, looked at where the worker runs; and which bits those are.

gpu/kernels.h gives a row the same bits by construction. What that leaves to others: that the compiler made of it what it says, on this
processor. That is looked at with the model itself.
"""

import functools
import hashlib
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from core.models.numerics import CHECKED, Checked
from gpu.forward import Batch, Run
from gpu.llama import LlamaForward

ROWS = 3
PAST = 61
TOKENS = 13
DRAWN = 4
PRIME = 7_919

Floats = npt.NDArray[np.float32]
_Piece = tuple[int, int, int]  # row, first token, the one after the last

WHOLE: Sequence[Sequence[_Piece]] = [[(0, 0, TOKENS)]]


def examined(forward: LlamaForward, model_id: str, folder: Path, threads: Sequence[int]) -> Checked:
    """What is known of a model here; looked at now where ``folder`` has not kept it. Leaves the model without a cache.

    The first of ``threads`` is what the others are held against. ``threads`` of the answer: up to how many give the same bits.
    """
    began = time.perf_counter()
    forward.allocate(ROWS, PAST + 2 * TOKENS)
    forward.threads = threads[0]
    whole = _said(forward, WHOLE)
    fingerprint = _digits(forward, whole)
    processor = _processor()
    told = hashlib.sha256(f"{processor} {forward.kernels.name} {list(threads)}".encode())
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
        kernels=forward.kernels.name,
        threads=max(holding) if exact else threads[0],
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


def _faults(forward: LlamaForward, whole: Floats, threads: Sequence[int]) -> dict[int, list[str]]:
    """Of each number of threads, what gave other bits than ``whole``, in words."""
    faults: dict[int, list[str]] = {}
    for number in threads:
        forward.threads = number
        looks = {name: steps for name, steps in _looks().items() if number != threads[0] or steps != WHOLE}
        faults[number] = [f"{name}, {number} threads" for name, steps in looks.items() if not np.array_equal(_said(forward, steps), whole)]
    forward.threads = threads[0]
    return faults


def _looks() -> dict[str, Sequence[Sequence[_Piece]]]:
    """The same tokens in other ways."""
    pieces = [(0, 1), (1, 3), (3, 6), (6, 10), (10, 13)]
    return {
        "in one piece": WHOLE,
        "one by one in another row": [[(2, place, place + 1)] for place in range(TOKENS)],
        "in pieces beside others": [[(0, start, stop), (1, 2, 2 + place), (2, 0, 1)] for place, (start, stop) in enumerate(pieces)],
    }


def _said(forward: LlamaForward, steps: Sequence[Sequence[_Piece]]) -> Floats:
    """The logits of each step's first pieces, after a past that is made up."""
    shape, cache = forward.shape, forward.cache
    cache.numbers[:, :, :PAST] = _numbers(shape.layers * PAST * 2 * shape.heads * shape.size).reshape(cache.numbers[0, :, :PAST].shape)
    cache.numbers[:, :, PAST:] = 0
    return np.concatenate([forward(_batch(forward.vocabulary, step))[: step[0][2] - step[0][1]] for step in steps])


def _batch(vocabulary: int, pieces: Sequence[_Piece]) -> Batch:
    places = [place for _, start, stop in pieces for place in range(start, stop)]
    rows = [row for row, start, stop in pieces for _ in range(start, stop)]
    runs: list[Run] = []
    for _, start, stop in pieces:
        begin = runs[-1].stop if runs else 0
        runs.append(Run(begin, begin + stop - start))
    ids = [(place + 1) * PRIME % vocabulary for place in places]
    return Batch(ids, [PAST + place for place in places], rows, runs, list(range(len(places))))


def _digits(forward: LlamaForward, whole: Floats) -> str:
    """16 hex digits of the bits: of the logits, and of what is drawn from them."""
    told = hashlib.blake2b(whole.tobytes(), digest_size=8)
    for row in whole:
        told.update(forward.log_probabilities(row).tobytes())
        drawn = [forward.kernels.draw(row, temperature=0.7, top_p=0.9, top_k=0, number=place / DRAWN) for place in range(DRAWN)]
        told.update(np.array(drawn).tobytes())
    return told.hexdigest()


@functools.lru_cache(maxsize=1)
def _numbers(count: int) -> Floats:
    """Numbers between -1 and 1 without a pattern; the same on any machine."""
    places = np.arange(count)
    return (((places * PRIME + (places >> 7) * 104_729) % 20_011 - 10_005) / 10_005).astype(np.float32)


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
