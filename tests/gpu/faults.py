"""The kernels with mistakes in them: some give some rows another last bit, some read or write in the wrong place, some leave a barrier out.

All stand in one library behind a switch, so that it is compiled once.
"""

import ctypes
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gpu.kernels import HEADER, SOURCES, Kernels, compile_kernels

STEPS = HEADER.with_name("llama.c")
LATE_US = 300  # how much a thread is behind the others where a barrier is missing
BEGIN = f"""
#include <stdint.h>
#include <unistd.h>
#define WRONG(number, where) (penstock_fault == number && (where))
#define OFF(number, where) (WRONG(number, where) ? 1 + 0x1p-23f : 1.0f)
#define LATE(number) if (thread && penstock_fault == number) usleep({LATE_US})
int penstock_fault;
static _Thread_local int at_thread;
static _Thread_local int64_t at_count;
"""
START = "const Step *step = job;"
STARTED = f"{START} at_thread = thread, at_count = step->count;"
END = "int penstock_tile = TILE;"
MEET = "meet(threads);"
MEETINGS = (  # in their order; what comes before each
    "the norm before attention",
    "queries, keys and values",
    "what is kept of a token",
    "attention",
    "what attention adds",
    "the norm before the feed-forward",
    "SwiGLU",
    "what the feed-forward adds",
    "the last norm",
    "the logits",
)
LAYERS_LAST = MEETINGS.index("what the feed-forward adds")


class Fault(msgspec.Struct, frozen=True):
    """A mistake: the words that follow ``after`` in the kernels.

    ``tile``: tiles have so many rows where it is to be found. ``bits``: of the matrices and the embedding of a model that it concerns.
    """

    after: str
    words: str
    tile: int = 1
    bits: tuple[int, int] = (4, 8)


PRODUCT = "out[row][half] = fma16(scale, part[row][half], out[row][half])"
GROUPS = "sums[i] = sum(load(x + i * GROUP) + load(x + i * GROUP + LANES))"
SCORE = "made[j] = sum(dot) * factor"
TURN = "turn(query + t * heads * size, heads, size, turns)"
WRITTEN = "memcpy(place, keys + t * 2 * kv * size, sizeof(float) * 2 * kv * size)"
SWIGLU = "one[i][half] = one[i][half]"
LAST_NORM = "normalise(x + step->wanted[i] * hidden, m->norm, m->hidden, m->epsilon, normal + i * hidden)"
NEIGHBOUR = " + (WRONG(1) ? step->rows[0] - step->rows[t] : 0) * m->row_stride"

FAULTS: Mapping[str, Fault] = {
    "products of 4 bits beside other rows": Fault(PRODUCT, ", out[row][half] *= OFF(bits == 4 && at_count > 1)"),
    "products of 8 bits beside other rows": Fault(PRODUCT, ", out[row][half] *= OFF(bits == 8 && at_count > 1)"),
    "products beside many rows": Fault(PRODUCT, ", out[row][half] *= OFF(at_count > 8)"),
    **{
        f"row {row + 1} of {tile} in a product": Fault(
            PRODUCT, f", out[row][half] *= OFF(bits == 4 && tile == {tile} && row == {row})", tile
        )
        for tile in range(1, 9)
        for row in range(tile)
    },
    "minima beside other rows": Fault("fma16(least", " * OFF(at_count > 1)"),
    "sums of groups beside other rows": Fault(GROUPS, " * OFF(at_count > 1)"),
    "sums of groups in a later place": Fault(GROUPS, " * OFF(i >= 2 * m->columns / GROUP)"),
    "what is added beside other rows": Fault("store(to, add ? load(to) + low", " * OFF(at_count > 1)"),
    "RMSNorm beside other rows": Fault("sum(squares)", " * OFF(at_count > 1)"),
    "rotary positions beside other rows": Fault("real, cosine, -(imaginary * sine))", " * OFF(at_count > 1)"),
    "rotary positions in a later place": Fault(TURN, ", query[t * heads * size] *= OFF(t > 2)"),
    "keys in the cache's third row": Fault(WRITTEN, ", place[0] *= OFF(step->rows[t] == 2)"),
    "values in the cache beside other rows": Fault(WRITTEN, ", place[kv * size] *= OFF(count > 1)"),
    "a neighbour's row of the cache written": Fault("float *place = m->cache", NEIGHBOUR),
    "a neighbour's row of the cache read": Fault("const float *past = m->cache", NEIGHBOUR),
    "attention's products beside other rows": Fault(SCORE, " * OFF(at_count > 1)"),
    "scores that another token left": Fault(
        "F made = splat(-__builtin_inff());", " if (WRONG(1)) made = load(scores + head * room + from);"
    ),
    "the sum of attention's weights beside other rows": Fault("total += each", " * OFF(at_count > 1)"),
    "attention's values beside other rows": Fault("store(out + head * size + i, made", " * OFF(at_count > 1)"),
    "exp beside other rows": Fault("F scaled = power * (F)exponent", " * OFF(at_count > 1)"),
    "SwiGLU beside other rows": Fault(SWIGLU, " * OFF(at_count > 1)"),
    "SwiGLU in a tile's last row": Fault(SWIGLU, " * OFF(tile > 1 && i == tile - 1)", 2),
    "embeddings of 4 bits beside other rows": Fault("__builtin_fmaf((float)scales[lane]", " * OFF(at_count > 1)", bits=(8, 4)),
    "embeddings of 8 bits beside other rows": Fault("out[k] = (float)scales[lane]", " * OFF(at_count > 1)"),
    "embeddings in a later place": Fault("look_up(&m->embedding, step->ids[t], x + t * hidden)", ", x[t * hidden] *= OFF(t > 2)"),
    "the head in a later place": Fault(LAST_NORM, ", normal[i * hidden] *= OFF(i > 2)"),
}
BETWEEN_THREADS: Mapping[str, Fault] = {
    "products of another thread": Fault(PRODUCT, ", out[row][half] *= OFF(at_thread == 1)"),
    "RMSNorm of another thread": Fault("sum(squares)", " * OFF(at_thread == 1)"),
    "attention of another thread": Fault(SCORE, " * OFF(at_thread == 1)"),
    "SwiGLU of another thread": Fault(SWIGLU, " * OFF(at_thread == 1)"),
}
MISSING = MEETINGS[:-1]  # without the last, logits are written after their memory is given back: no other bits, but a crash
ALWAYS = "exp, always"
EVERYWHERE: Mapping[str, Fault] = {ALWAYS: Fault("F scaled = power * (F)exponent", " * OFF(1)")}
ALL = [*FAULTS, *BETWEEN_THREADS, *EVERYWHERE, *MEETINGS]


class Faulty:
    """The kernels with a switch. ``kernels``: right ones, until a fault is chosen."""

    def __init__(self, folder: Path, target: str) -> None:
        source = folder / "faulty.c"
        source.write_text(_source())
        self.kernels: Kernels = compile_kernels(folder, target, lambda _: None, [source, *(other for other in SOURCES if other != STEPS)])
        library = ctypes.CDLL(str(folder / f"{self.kernels.name}.so"))
        self.tile = ctypes.c_int.in_dll(library, "penstock_tile").value
        self._fault = ctypes.c_int.in_dll(library, "penstock_fault")

    def choose(self, name: str | None) -> None:
        """Make this mistake from now on; without a name none."""
        self._fault.value = _number(name) if name else 0


def _source() -> str:
    steps = _meeting(STEPS.read_text().replace(f'#include "{HEADER.name}"', "")).replace(START, STARTED)
    whole = BEGIN + HEADER.read_text() + steps + END
    for name, fault in {**FAULTS, **BETWEEN_THREADS, **EVERYWHERE}.items():
        assert whole.count(fault.after) == 1, f"{name}: where is this mistake made now? The kernels do not have {fault.after!r} once"
        words = fault.words.replace("OFF(", f"OFF({_number(name)}, ").replace("WRONG(", f"WRONG({_number(name)}, ")
        whole = whole.replace(fault.after, fault.after + words)
    return whole


def _meeting(steps: str) -> str:
    """Every barrier with a switch; where the next one is missing, all threads but the first are late from here on."""
    first, *parts = steps.split(MEET)
    assert len(parts) == len(MEETINGS), "the kernels have other barriers now"
    for place, part in enumerate(parts):
        late = [_number(name) for name in MEETINGS[place + 1 : place + 2]]
        if place == LAYERS_LAST:
            late.append(_number(MEETINGS[0]))
        switch = "".join(f" LATE({number});" for number in late)
        first += f"if (penstock_fault != {_number(MEETINGS[place])}) {MEET}{switch}{part}"
    return first


def _number(name: str) -> int:
    return ALL.index(name) + 1
