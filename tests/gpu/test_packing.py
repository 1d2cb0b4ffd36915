from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFWriter

from core.errors import SettingsError
from gpu.forward import Batch, Run
from gpu.gguf import GgufFile
from gpu.gguf_to_transformers import as_transformers
from gpu.kernels import Kernels
from gpu.llama import LlamaForward
from gpu.packing import fingerprint, load_packed
from tests.gpu import tiny_llama

FILES: list[dict[str, Any]] = [
    {},
    {"matrices": Kind.Q4_0},
    {"matrices": Kind.Q8_0, "tied": False},
    {"matrices": Kind.F16, "embedding": Kind.F16},
    {"scaling": 4.0},
]


def is_kept(file: dict[str, Any]) -> bool:
    """Whether a file's weights are taken as they are."""
    return Kind.F16 not in file.values()


@pytest.mark.parametrize("file", FILES, ids=str)
def test_packed_weights_give_what_the_files_weights_give(tmp_path: Path, functions: Kernels, file: dict[str, Any]) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf", **file)
    forward = LlamaForward(*load_packed(path, tmp_path, lambda _: None), functions)
    forward.allocate(1, 64)
    ids = [place * 7 % tiny_llama.VOCABULARY for place in range(40)]
    with torch.inference_mode():
        wanted = as_transformers(path, "float32")(input_ids=torch.tensor([ids])).logits[0].numpy()
    made = forward(Batch(ids, list(range(40)), [0] * 40, [Run(0, 40)], list(range(40))))
    difference = np.linalg.norm(made - wanted) / np.linalg.norm(wanted)
    assert difference < (1e-5 if is_kept(file) else 0.05), "no more than eight bits a weight round away"


def test_a_token_without_an_embedding_is_refused(tmp_path: Path, functions: Kernels) -> None:
    forward = LlamaForward(*load_packed(tiny_llama.write(tmp_path / "tiny.gguf"), tmp_path, lambda _: None), functions)
    forward.allocate(1, 64)
    for token in (tiny_llama.VOCABULARY, -1):
        with pytest.raises(IndexError, match="320"):
            forward(Batch([1, token], [0, 1], [0, 0], [Run(0, 2)], [1]))


def test_rope_factors_slow_positions_down(tmp_path: Path, functions: Kernels) -> None:
    plain = load_packed(tiny_llama.write(tmp_path / "plain.gguf"), tmp_path, lambda _: None)
    slowed = load_packed(tiny_llama.write(tmp_path / "slowed.gguf", rope_factors=True), tmp_path, lambda _: None)
    turns = [LlamaForward(*packed, functions)._weights["turns"] for packed in (plain, slowed)]
    assert np.array_equal(turns[0][:, 0], turns[1][:, 0])
    angles = [np.arctan2(turn[100, -1, 1], turn[100, -1, 0]) for turn in turns]
    assert np.allclose(angles[0] / 4, angles[1], rtol=1e-4)


def test_what_was_packed_is_read_the_next_time(tmp_path: Path) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf")
    said: list[str] = []
    _, first = load_packed(path, tmp_path / "kept", said.append)
    (kept,) = (tmp_path / "kept").iterdir()
    made = kept.stat().st_mtime_ns
    _, second = load_packed(path, tmp_path / "kept", said.append)
    assert len(said) == 1
    assert kept.stat().st_mtime_ns == made
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_changed_file_is_another_model(tmp_path: Path) -> None:
    one, two = (tiny_llama.write(tmp_path / name, matrices=kind) for name, kind in (("one.gguf", Kind.Q4_0), ("two.gguf", Kind.Q4_1)))
    assert fingerprint(one) != fingerprint(two)
    assert fingerprint(one) == fingerprint(one)


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.gguf"
    path.write_bytes(b"not a model at all" * 10)
    with pytest.raises(SettingsError, match="cannot be read as a GGUF"):
        GgufFile(path)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    writer = GGUFWriter(path, "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(SettingsError, match="holds a 'mamba' model"):
        GgufFile(path)
