"""The self-check notices whatever would give a token other bits than it has elsewhere, and its result is kept as long as it is true."""

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gguf import GGMLQuantizationType as Kind

from core.models.numerics import CHECKED, Checked
from gpu import kernels, loading, numerics
from gpu.cache import RowCache
from gpu.causal import CausalForward
from gpu.kernels import Kernels, KernelsMissing
from gpu.llama import LlamaForward
from gpu.mapped import Weights
from gpu.numerics import examine
from gpu.packing import load_packed
from gpu.prefix_cache import Copy
from gpu.sources import Format, ModelSource
from tests.gpu import tiny_llama
from tests.gpu.faults import ALWAYS, BETWEEN_THREADS, FAULTS, MISSING, Faulty

THREADS = (1, 2)
Packed = tuple[Any, Weights]


@pytest.fixture(scope="session", params=["native", "x86_64_v3"])
def faulty(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Faulty:
    """For each of the processors that kernels are compiled for here."""
    if request.param not in kernels.targets():
        pytest.skip(f"nothing is compiled for {request.param} on this machine")
    return Faulty(tmp_path_factory.mktemp("faulty"), request.param)


@pytest.fixture
def right(faulty: Faulty) -> Iterator[Faulty]:
    yield faulty
    faulty.choose(None)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Packed]:
    """Small Llamas by the bits of their matrices and of their embedding."""
    folder = tmp_path_factory.mktemp("small")
    kinds = {4: Kind.Q4_1, 8: Kind.Q8_0}
    files: dict[tuple[int, int], dict[str, Any]] = {
        bits: {"matrices": kinds[bits[0]], "embedding": kinds[bits[1]]} for bits in ((4, 8), (8, 4))
    }
    return {bits: load_packed(tiny_llama.write(folder / f"{bits}.gguf", **file), folder, lambda _: None) for bits, file in files.items()}


@pytest.fixture
def look(models: dict[tuple[int, int], Packed], functions: Kernels, tmp_path: Path) -> Callable[..., Checked]:
    """Look at a small Llama, and keep what was found in a folder."""

    def looked(
        using: Kernels = functions, *, bits: tuple[int, int] = (4, 8), threads: tuple[int, ...] = THREADS, folder: str = "kept"
    ) -> Checked:
        return examine(LlamaForward(*models[bits], using), "small", tmp_path / folder, threads)

    return looked


def kept(tmp_path: Path) -> Path:
    """The file of what was found."""
    (file,) = (tmp_path / "kept").glob(CHECKED)
    return file


@pytest.mark.parametrize("bits", [(4, 8), (8, 4)], ids=str)
def test_right_kernels_are_exact_with_any_number_of_threads_and_the_same_on_every_processor(
    look: Callable[..., Checked], right: Faulty, functions: Kernels, bits: tuple[int, int]
) -> None:
    found = look(right.kernels, bits=bits)
    assert (found.continued, found.threads, found.way) == ("exact", 2, right.kernels.target)
    assert found.text.startswith(f"exact: kernels compiled for {right.kernels.target}, 1 to 2 threads, checked in ")
    assert found.fingerprint == look(functions, bits=bits).fingerprint


def test_a_row_that_depends_on_what_is_around_it_is_noticed(look: Callable[..., Checked], right: Faulty) -> None:
    unnoticed = []
    for name, fault in FAULTS.items():
        right.choose(name)
        found = look(right.kernels, bits=fault.bits, folder=name)
        said = f"equivalent: kernels compiled for {right.kernels.target} gave other bits: "
        if (found.continued, found.fingerprint) != ("equivalent", "") or not found.text.startswith(said) or "1 thread" not in found.text:
            unnoticed.append(name)
    assert unnoticed == [name for name, fault in FAULTS.items() if fault.tile > right.tile], "those are not there"


def test_what_only_another_thread_does_wrong_leaves_one(look: Callable[..., Checked], right: Faulty) -> None:
    for name in (*BETWEEN_THREADS, *MISSING):
        right.choose(name)
        found = look(right.kernels, folder=name)
        assert (name, found.continued, found.threads) == (name, "exact", 1)
        assert ", 1 thread, " in found.text
        assert "; not used: " in found.text
        assert found.text.endswith(", 2 threads")


def test_other_bits_everywhere_are_exact_and_have_another_fingerprint(look: Callable[..., Checked], right: Faulty) -> None:
    usual = look(right.kernels)
    right.choose(ALWAYS)
    found = look(right.kernels, folder=ALWAYS)
    assert found.continued == "exact"
    assert found.fingerprint not in {"", usual.fingerprint}


def test_a_row_that_is_not_what_it_was_copied_from_is_noticed(look: Callable[..., Checked], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RowCache.copy

    def short(self: RowCache, copy: Copy) -> None:
        whole(self, msgspec.structs.replace(copy, length=copy.length - 1))

    monkeypatch.setattr(RowCache, "copy", short)
    assert look().continued == "equivalent"


def test_what_was_found_is_read_the_next_time(look: Callable[..., Checked], tmp_path: Path) -> None:
    found = look()
    told = msgspec.structs.replace(found, text="told before")
    kept(tmp_path).write_bytes(msgspec.json.encode(told))
    assert look() == told
    assert msgspec.structs.replace(look(threads=(1,)), text="") != msgspec.structs.replace(told, text=""), "of other numbers of threads"


@pytest.mark.parametrize("change", ["processor", "kernels"])
def test_another_machine_looks_again(
    look: Callable[..., Checked], functions: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    kept_as = msgspec.structs.replace(look(), text="told before")
    kept(tmp_path).write_bytes(msgspec.json.encode(kept_as))
    if change == "processor":
        monkeypatch.setattr(numerics, "_processor", lambda: "another processor")
    else:
        monkeypatch.setattr(functions, "name", "kernels-of-another-build")
    found = look()
    assert found.text.startswith("exact: ")
    assert found.fingerprint == kept_as.fingerprint
    assert look() == found, "and keeps that"


@pytest.mark.parametrize("broken", [b"", b"{", b'{"model":"small"}'], ids=repr)
def test_a_broken_file_is_made_again(look: Callable[..., Checked], tmp_path: Path, broken: bytes) -> None:
    look()
    kept(tmp_path).write_bytes(broken)
    found = look()
    assert found.continued == "exact"
    assert msgspec.json.decode(kept(tmp_path).read_bytes(), type=Checked) == found


def test_what_was_found_of_other_bits_is_not_believed(look: Callable[..., Checked], tmp_path: Path) -> None:
    found = look()
    kept(tmp_path).write_bytes(msgspec.json.encode(msgspec.structs.replace(found, fingerprint="0" * 16, text="told before")))
    assert look().fingerprint == found.fingerprint


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    path = tiny_llama.write(tmp_path / "small.gguf")
    return ModelSource(id="small", path=path, format=Format.GGUF)


def opened(source: ModelSource, folder: Path, said: list[str]) -> LlamaForward | CausalForward:
    made = loading._gguf(source, folder / source.id, "cpu", THREADS, said.append)
    assert isinstance(made, LlamaForward | CausalForward)
    return made


def test_kernels_that_are_wrong_for_this_processor_give_way_to_plainer_ones(
    source: ModelSource, right: Faulty, functions: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = {"first": right.kernels, "second": functions}
    monkeypatch.setattr(loading, "targets", lambda: tuple(ways))
    monkeypatch.setattr(loading, "compile_kernels", lambda _folder, target, _progress: ways[target])
    right.choose("exp beside other rows")
    chosen = opened(source, tmp_path, [])
    assert isinstance(chosen, LlamaForward)
    assert chosen.kernels is functions
    assert chosen.numerics.continued == "exact"
    ways["second"] = right.kernels
    for file in tmp_path.rglob(CHECKED):
        file.unlink()
    assert opened(source, tmp_path, []).numerics.continued == "equivalent", "where there is none, as they are"


@pytest.mark.parametrize("reason", ["no compiler", "no C"])
def test_without_kernels_transformers_computes_and_a_line_says_why(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    if reason == "no compiler":
        monkeypatch.setattr(kernels, "version", _nothing_installed)
        words = "cannot be compiled without the package ziglang: install penstock[gpu]."
    else:
        monkeypatch.setattr(kernels, "FLAGS", (*kernels.FLAGS, "-DSPINS=x y"))
        words = "The kernels for this processor cannot be compiled ("
    said: list[str] = []
    forward = opened(source, tmp_path, said)
    assert isinstance(forward, CausalForward)
    assert words in said[-1]
    assert said[-1].endswith("small is computed by transformers, slower")
    assert forward.numerics.continued == "equivalent"
    assert words in forward.numerics.text


def _nothing_installed(name: str) -> str:
    raise PackageNotFoundError(name)


def test_a_library_that_cannot_be_loaded_is_one_clear_line(functions: Kernels, tmp_path: Path) -> None:
    (tmp_path / f"{functions.name}.so").write_bytes(b"not a library")
    with pytest.raises(KernelsMissing, match=r"cannot be loaded .* Delete it; it is made again"):
        kernels.compile_kernels(tmp_path, "native", pytest.fail)
