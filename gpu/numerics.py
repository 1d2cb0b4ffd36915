"""Whether a token's bits follow from its own row alone, looked at where the worker runs; and which bits those are.

gpu/kernels.h gives a row the same bits by construction. What that leaves to others: that the compiler made of it what it says, on this
processor. That is looked at with the model itself.
"""

import functools
import hashlib
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from core.models.numerics import CHECKED, Checked
from gpu.forward import Batch, Run
from gpu.llama import LlamaForward
from gpu.prefix_cache import Copy

PAST = 61
TOKENS = 9
ORDER = (1, 0, 2)  # of the cache's rows in a step; what the last holds is a copy of what the one before it holds
AT_ONCE, ONE_BY_ONE, FEW = "all at once", "one by one", "few at a time beside others"
DRAWN = 4
PRIME = 7_919

Floats = npt.NDArray[np.float32]
_Takes = tuple[int, int, int]  # how many tokens of each row are in a step

LOOKS: Mapping[str, Sequence[_Takes]] = {  # every place in every tile of a product: 27 rows are tiles of seven and six
    AT_ONCE: [(TOKENS,) * 3],
    ONE_BY_ONE: [(0, 0, 1)] * TOKENS,
    FEW: [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, 2), (1, 3, 1), (1, 1, 2), (3, 2, 3)],
}


def examine(forward: LlamaForward, model_id: str, folder: Path, threads: Sequence[int]) -> Checked:
    """What is known of a model here; looked at now where ``folder`` has not kept it. Leaves the model without a cache.

    The first of ``threads`` is what the others are held against. ``threads`` of the answer: up to how many give the same bits.
    """
    began = time.perf_counter()
    forward.allocate(len(ORDER), PAST + TOKENS)
    forward.threads = threads[0]
    whole = _compute(forward, LOOKS[AT_ONCE])
    fingerprint = _digits(forward, np.concatenate(whole[:2]))
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
    number = _count(holding[0]) if len(holding) == 1 else f"{min(holding)} to {max(holding)} threads"
    return f"exact: kernels compiled for {target}, {number}, checked in {seconds:.2f} s" + (f"; not used: {said}" if said else "")


def _faults(forward: LlamaForward, whole: Sequence[Floats], threads: Sequence[int]) -> dict[int, list[str]]:
    """Of each number of threads, what gave other bits than ``whole``, in words."""
    faults: dict[int, list[str]] = {}
    for number in threads:
        forward.threads = number
        said = {name: _compute(forward, LOOKS[name]) for name in (ONE_BY_ONE if number == threads[0] else AT_ONCE, FEW)}
        if number == threads[0]:
            said[AT_ONCE] = list(whole)
        faults[number] = [f"{name}, {_count(number)}" for name, logits in said.items() if not _equal(logits, whole)]
    forward.threads = threads[0]
    return faults


def _count(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _equal(said: Sequence[Floats], whole: Sequence[Floats]) -> bool:
    return all(np.array_equal(own, wanted) for own, wanted in zip(said, (*whole[:2], whole[1]), strict=True) if len(own))


def _compute(forward: LlamaForward, steps: Sequence[_Takes]) -> list[Floats]:
    """Each row's logits, after a past that is made up."""
    cache = forward.cache
    pasts = cache.numbers[:2, :, :PAST]
    pasts[:] = _numbers(pasts.size).reshape(pasts.shape)
    cache.numbers[:, :, PAST:] = 0
    forward.copy(Copy(source=ORDER[1], target=ORDER[2], length=PAST))
    said: list[list[Floats]] = [[] for _ in ORDER]
    places = [0] * len(ORDER)
    for takes in steps:
        logits = forward(_batch(forward.vocabulary, places, takes))
        for own, rows in zip(said, np.split(logits, np.cumsum(takes)[:-1]), strict=True):
            own.append(rows)
        places = [place + take for place, take in zip(places, takes, strict=True)]
    return [np.concatenate(own) for own in said]


def _batch(vocabulary: int, starts: Sequence[int], takes: _Takes) -> Batch:
    ids: list[int] = []
    rows: list[int] = []
    places: list[int] = []
    runs: list[Run] = []
    for row, start, take in zip(ORDER, starts, takes, strict=True):
        runs.append(Run(len(ids), len(ids) + take))
        ids += [(place + 1 + TOKENS * (row == ORDER[0])) * PRIME % vocabulary for place in range(start, start + take)]
        places += range(start, start + take)
        rows += [row] * take
    return Batch(ids, [PAST + place for place in places], rows, runs, list(range(len(ids))))


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
