import asyncio
import ctypes
import math
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from core.errors import SettingsError
from core.settings import Settings
from gpu import kernels, sources
from gpu.bert import BertEncoder
from gpu.device_lock import DeviceLock
from gpu.embedder import Embedder
from gpu.kernels import FLAGS, HEADER, Kernels, KernelsMissing, Way, address, compile_kernels, targets
from gpu.torch_bert import TorchBertEncoder
from tests.gpu.asking import Started

# Whatever else a worker of the GPU pool imports before it embeds.
EMBED = """
import asyncio, sys
from pathlib import Path
from core.settings import Settings
from gpu.embedder import Embedder
from gpu.sources import embedder
from gpu.device_lock import DeviceLock
from workers.runtimes.local_embedder import LocalEmbedder

made = Embedder(embedder(), Settings(device="cpu", data_dir=Path(sys.argv[1])), device_lock=DeviceLock())
data, tokens = asyncio.run(made.embed(["a text"]))
assert (len(data), tokens) == (4 * made.dimensions, 4)
print(sorted({"torch", "transformers"} & sys.modules.keys()))
"""
GELU = """
#include "bert.c"
void each(float *numbers, int64_t count) { for (int64_t i = 0; i < count; i += LANES) store(numbers + i, gelu(load(numbers + i))); }
"""
# Threads that are late after each meeting, as where they share a core: whoever asked goes on meanwhile, and changes what it has asked.
LATE = """
#include "kernels.h"
#include <unistd.h>
static void meet_late(int threads, int thread) { meet(threads); if (thread) usleep(3000); }
#define meet(threads) meet_late(threads, thread)
"""
PIECES = """
import sys
from pathlib import Path
import numpy as np
from gpu.bert import BertEncoder
from gpu.kernels import SOURCES, compile_kernels, targets

model, folder, late = map(Path, sys.argv[1:])
functions = compile_kernels(folder, targets()[0], print, (late, *SOURCES))
encoders = [BertEncoder(model, functions, threads) for threads in (1, 2, 3)]
for way in functions.ways:
    vectors = []
    for encoder in encoders:
        encoder.choose(way)
        pieces = encoder.pieces([[1, 2, 3], [4] * 40])
        while True:
            try:
                next(pieces)
            except StopIteration as ended:
                vectors.append(ended.value)
                break
    assert all(np.array_equal(vectors[0], other) for other in vectors)
"""
LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 5, 31, 32, 33, 40, 64, 65, 3, 100, 1)


def write(folder: Path, *, hidden: int = 48, heads: int = 3, inner: int = 80, words: int = 101) -> Path:
    """A BERT of random weights, as transformers and sentence-transformers write it."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=words,
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_bytes(b'{"pooling_mode_mean_tokens": true}')
    return folder


def texts(*lengths: int) -> list[list[int]]:
    return [[(7 * place + 13 * length) % 101 for place in range(length)] for length in lengths]


def encoder(folder: Path, functions: Kernels, threads: int = 1, way: Way = Way.FLOAT32) -> BertEncoder:
    made = BertEncoder(folder, functions, threads)
    made.choose(way)
    return made


@pytest.mark.parametrize(("hidden", "heads", "inner"), [(48, 3, 80), (64, 2, 72), (40, 5, 8)])
def test_it_gives_what_torch_gives_whatever_its_sizes(tmp_path: Path, functions: Kernels, hidden: int, heads: int, inner: int) -> None:
    folder = write(tmp_path / "model", hidden=hidden, heads=heads, inner=inner)
    theirs = TorchBertEncoder(folder, "cpu", 1)
    ours = encoder(folder, functions)(texts(*LENGTHS))
    for vector, text in zip(ours, texts(*LENGTHS), strict=True):
        assert np.abs(vector - theirs([text])[0]).max() < 2e-6


def test_a_texts_bits_are_its_own_beside_any_others_on_any_number_of_threads(tmp_path: Path, functions: Kernels, way: Way) -> None:
    folder = write(tmp_path / "model")
    alone = np.concatenate([encoder(folder, functions, way=way)([text]) for text in texts(*LENGTHS)])
    for threads in (1, 2, 3, 7):
        given = encoder(folder, functions, threads, way)
        for first in range(len(LENGTHS)):
            order = [(first + place) % len(LENGTHS) for place in range(len(LENGTHS))]
            made = given([texts(*LENGTHS)[place] for place in order])
            assert np.array_equal(made, alone[order]), (threads, first)


def test_a_texts_bits_are_the_same_on_any_processor(first_start: Started, functions: Kernels) -> None:
    source = sources.embedder()
    assert source
    made = []
    for target in targets():
        try:
            built = compile_kernels(first_start.settings.data_dir / "models", target, lambda _: None)
        except KernelsMissing:
            pytest.skip(f"this processor has not what {target} has")
        made.append(encoder(source.path, built)([[101, 2009, 2003, 102], [101, *range(2000, 2060), 102]]))
    assert all(np.array_equal(made[0], other) for other in made)
    assert functions.target == targets()[0]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_layer_at_a_time_gives_the_same_bits(tmp_path: Path, functions: Kernels, threads: int, way: Way) -> None:
    folder, asked = write(tmp_path / "model"), texts(*LENGTHS)
    for given in (encoder(folder, functions, threads, way), TorchBertEncoder(folder, "cpu", 1)):
        pieces = given.pieces(asked)
        next(pieces)
        between = given(asked[:5])
        with pytest.raises(StopIteration) as ended:
            next(pieces)
        assert np.array_equal(ended.value.value, given(asked))
        assert np.array_equal(between, given(asked[:5]))


def test_a_thread_that_is_late_reads_nothing_of_a_job_that_is_over(tmp_path: Path) -> None:
    late = tmp_path / "late.h"
    late.write_text(LATE, encoding="utf-8")
    command = (sys.executable, "-c", PIECES, str(write(tmp_path / "model")), str(tmp_path), str(late))
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_numbers_that_are_none_stay_in_their_own_text(tmp_path: Path, functions: Kernels, way: Way) -> None:
    folder = write(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][100] = math.nan
    save_file(weights, folder / "model.safetensors")
    given = encoder(folder, functions, way=way)
    good = [text for text in texts(*LENGTHS) if 100 not in text]
    made = given([other for text in good for other in (text, [100] * len(text))])
    assert np.array_equal(made[::2], given(good))
    assert np.isnan(made[1::2]).all()


@pytest.mark.parametrize("text", [[], [-1, 2], [101], [1] * 129], ids=["nothing", "below all ids", "above all ids", "too long"])
def test_what_the_model_has_not_is_never_looked_up(tmp_path: Path, functions: Kernels, text: list[int], way: Way) -> None:
    given = encoder(write(tmp_path / "model"), functions, way=way)
    with pytest.raises(ValueError, match="no texts of this model"):
        given([[1, 2], text])


def test_weights_of_another_type_or_shape_are_refused_by_name(tmp_path: Path, functions: Kernels) -> None:
    folder = write(tmp_path / "model")
    BertModel.from_pretrained(folder).half().save_pretrained(folder)
    with pytest.raises(SettingsError, match=r"encoder\.layer\.0\.attention\.self\.query\.weight must be 48 x 48 numbers of float32"):
        encoder(folder, functions)
    BertModel.from_pretrained(folder).float().save_pretrained(folder)
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    (folder / "config.json").write_bytes(msgspec.json.encode(config | {"vocab_size": 102}))
    with pytest.raises(SettingsError, match=r"embeddings\.word_embeddings\.weight must be 102 x 48 numbers"):
        encoder(folder, functions)


def test_sizes_that_the_kernel_cannot_divide_are_refused(tmp_path: Path, functions: Kernels) -> None:
    with pytest.raises(SettingsError, match="its heads and its feed-forward must be multiples of 8 numbers"):
        encoder(write(tmp_path / "model", hidden=36, heads=3), functions)


def test_gelu_is_the_exact_one(tmp_path: Path) -> None:
    library = tmp_path / "gelu.so"
    command = (
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *FLAGS,
        "-Wno-unused-function",
        f"-I{HEADER.parent}",
        "-x",
        "c",
        "-",
        "-o",
        str(library),
    )
    subprocess.run(command, input=GELU, text=True, check=True)
    numbers = np.linspace(-12, 12, 16 * 6_001, dtype=np.float32)
    made = numbers.copy()
    ctypes.CDLL(str(library)).each(ctypes.c_void_p(address(made)), ctypes.c_int64(len(made)))
    wanted = [x / 2 * (1 + math.erf(x / math.sqrt(2))) for x in numbers.astype(float)]
    assert np.abs(made - wanted).max() < 1e-6


def test_a_worker_embeds_on_a_processor_without_torch(first_start: Started, functions: Kernels) -> None:
    del functions  # are compiled now
    command = (sys.executable, "-c", EMBED, str(first_start.settings.data_dir))
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.stdout.splitlines()[-1:], ended.returncode) == (["[]"], 0), ended.stderr


async def test_without_a_compiler_torch_embeds(tmp_path: Path, functions: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.embedder()
    assert source

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(kernels, "version", missing)
    embedder = await asyncio.to_thread(Embedder, source, Settings(device="cpu", data_dir=tmp_path), device_lock=DeviceLock(), threads=1)
    data, _ = await embedder.embed(["a text"])
    assert isinstance(embedder._loop.encoder, TorchBertEncoder)
    ours = await asyncio.to_thread(lambda: encoder(source.path, functions)(embedder._reader.ids(["a text"])))
    assert np.abs(np.frombuffer(data, "<f4") - ours[0]).max() < 1e-6
    await asyncio.to_thread(embedder.close)
