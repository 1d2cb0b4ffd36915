"""In which numbers an encoder is computed here: bfloat16 where that is measured to be faster, and near enough to float32."""

import time
from collections.abc import Sequence

import msgspec
import numpy as np

from core.errors import SettingsError
from core.models.embeddings import EmbeddingDtype
from gpu.bert import BertEncoder, Vectors
from gpu.kernels import Way

LEAST_GAIN = 1.2  # times as fast: less might be chosen at one start and not at the next
LEAST_COSINE = 0.9998
LENGTHS = (61, 9, 29)  # tokens: four blocks of 32 with what is left in the last
ROUNDS = 3
PRIME = 7_919


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Two ways, tokens a second of one thread's processor time. ``cosine``: the lowest between their vectors.

    ``is_own``: whether a text's vector in bfloat16 has the same bits alone and beside others.
    """

    way: Way
    speed: float
    float32_speed: float
    cosine: float
    is_own: bool

    @property
    def is_better(self) -> bool:
        """Whether to compute in bfloat16."""
        return self.is_own and self.cosine >= LEAST_COSINE and self.speed >= LEAST_GAIN * self.float32_speed

    def __str__(self) -> str:
        told = f"{self.way.label} {self.speed:.0f}, float32 {self.float32_speed:.0f} tokens per CPU-second, cosine {self.cosine:.5f}"
        return told if self.is_own else f"{told}; other bits beside other texts"


def choose_way(encoder: BertEncoder, vocabulary: int, wanted: EmbeddingDtype) -> str:
    """Have an encoder compute in the best way that it has here; one line for people, which and why. Raises SettingsError."""
    native = native_way(encoder.ways, wanted)
    if native is Way.FLOAT32:
        return "float32: nothing here multiplies bfloat16"
    if wanted is EmbeddingDtype.FLOAT32:
        return "float32, as PENSTOCK_EMBEDDING_DTYPE says"
    began = time.perf_counter()
    measured = measure(encoder, native, vocabulary)
    if wanted is EmbeddingDtype.BFLOAT16:
        encoder.choose(native)
        return f"bfloat16, as PENSTOCK_EMBEDDING_DTYPE says ({measured})"
    encoder.choose(native if measured.is_better else Way.FLOAT32)
    return f"{'bfloat16' if measured.is_better else 'float32'} ({measured}; measured in {time.perf_counter() - began:.2f} s)"


def native_way(ways: Sequence[Way], wanted: EmbeddingDtype) -> Way:
    """The fastest way of bfloat16; FLOAT32 where there is none. Raises SettingsError where that is not what is wanted."""
    if ways[-1] is Way.FLOAT32 and wanted is EmbeddingDtype.BFLOAT16:
        message = (
            "PENSTOCK_EMBEDDING_DTYPE is bfloat16, but this processor, or its system, has neither AMX-BF16 nor AVX512-BF16. "
            "Set auto or float32."
        )
        raise SettingsError(message)
    return ways[-1]


def measure(encoder: BertEncoder, way: Way, vocabulary: int) -> Measured:
    """A way of bfloat16 and float32, over made-up tokens. Leaves the encoder with the first."""
    texts = [[(place + 1) * length * PRIME % vocabulary for place in range(length)] for length in LENGTHS]
    speeds: dict[Way, float] = {}
    made: dict[Way, Vectors] = {}
    for each in (Way.FLOAT32, way):
        encoder.choose(each)
        rounds = [_timed(encoder, texts) for _ in range(ROUNDS)]
        made[each], speeds[each] = rounds[-1][0], max(speed for _, speed in rounds)
    return Measured(
        way=way,
        speed=speeds[way],
        float32_speed=speeds[Way.FLOAT32],
        cosine=float((made[way] * made[Way.FLOAT32]).sum(1).min()),
        is_own=np.array_equal(encoder(texts[-1:], 1), made[way][-1:]),
    )


def _timed(encoder: BertEncoder, texts: Sequence[list[int]]) -> tuple[Vectors, float]:
    began = time.thread_time()
    vectors = encoder(list(texts), 1)
    return vectors, sum(map(len, texts)) / (time.thread_time() - began)
