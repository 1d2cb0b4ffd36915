"""Logits to ids.

What a row gets depends on its own logits, parameters, seed, choice and position, and on nothing else: not on its neighbours, and there is
no generator whose state would have to move to another worker.
"""

import hashlib
import struct

import numpy as np
import numpy.typing as npt

from gpu.kernels import Kernels
from gpu.sequence import Sequence

MASK_64 = (1 << 64) - 1


def uniform(seed: int, choice: int, position: int) -> float:
    """The random number in [0, 1) of one place in one answer: a keyed hash as a counter-based generator."""
    digest = hashlib.blake2b(struct.pack("<QQ", choice, position), key=struct.pack("<Q", seed & MASK_64), digest_size=8).digest()
    return int(struct.unpack("<Q", digest)[0] >> 16) * 2.0**-48


def choose(kernels: Kernels, logits: npt.NDArray[np.float32], sequences: list[Sequence]) -> list[int | None]:
    """The next id of each sequence, from logits [sequences, vocabulary], which it changes; None for a row that is not finite."""
    return [_choose(kernels, row, sequence) for row, sequence in zip(logits, sequences, strict=True)]


def _choose(kernels: Kernels, row: npt.NDArray[np.float32], sequence: Sequence) -> int | None:
    sampling = sequence.sampling
    if sampling.logit_bias:
        row[list(sampling.logit_bias)] += np.array(list(sampling.logit_bias.values()), np.float32)
    if sequence.counts and (sampling.presence_penalty or sampling.frequency_penalty):
        counts = np.array(list(sequence.counts.values()), np.float32)
        row[list(sequence.counts)] -= counts * np.float32(sampling.frequency_penalty) + np.float32(sampling.presence_penalty)
    number = uniform(sampling.seed, sequence.choice, sequence.position) if sampling.temperature > 0 else 0.0
    token = kernels.draw(row, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k, number=number)
    return None if token < 0 else token
