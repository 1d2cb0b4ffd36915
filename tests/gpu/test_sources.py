from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import Settings
from gpu.sources import Format, sources


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"")
    return path


def test_without_local_models_there_is_the_starter(tmp_path: Path) -> None:
    (source,) = sources(Settings(data_dir=tmp_path))
    assert (source.id, source.format) == ("smollm2-135m-instruct", Format.GGUF)
    assert source.path.suffix == ".gguf"


def test_local_models_are_named_by_their_folder_or_file(tmp_path: Path) -> None:
    (tmp_path / "small.gguf").write_bytes(b"")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "inside.Q4_1.gguf").write_bytes(b"")
    found = sources(Settings(local_models=(folder(tmp_path / "large"), tmp_path / "small.gguf", tmp_path / "one")))
    assert [(source.id, source.format) for source in found] == [
        ("large", Format.SAFETENSORS),
        ("small", Format.GGUF),
        ("inside.Q4_1", Format.GGUF),
    ]


@pytest.mark.parametrize("name", ["nowhere", "nowhere.gguf", "empty"])
def test_a_place_without_a_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="PENSTOCK_LOCAL_MODELS"):
        sources(Settings(local_models=(tmp_path / name,)))


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="called the same"):
        sources(Settings(local_models=(folder(tmp_path / "a" / "model"), folder(tmp_path / "b" / "model"))))
