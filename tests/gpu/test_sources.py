from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import Settings
from gpu.sources import Format, ModelSource, Recommended, sources


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


def test_the_starter_is_sampled_as_its_card_says_and_a_folder_as_its_makers_wrote(tmp_path: Path) -> None:
    (starter,) = sources(Settings(data_dir=tmp_path))
    assert starter.recommended == Recommended(temperature=0.2, top_p=0.9, max_new_tokens=1024)
    model = ModelSource(id="m", path=folder(tmp_path / "m"), format=Format.SAFETENSORS)
    assert model.recommended == Recommended(temperature=1.0, top_p=1.0, top_k=0)
    (model.path / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.6, "top_k": 20}')
    assert model.recommended == Recommended(temperature=0.6, top_p=1.0, top_k=20)


def test_a_broken_generation_config_is_named(tmp_path: Path) -> None:
    model = ModelSource(id="m", path=folder(tmp_path / "m"), format=Format.SAFETENSORS)
    (model.path / "generation_config.json").write_text("{")
    with pytest.raises(SettingsError, match=r"generation_config\.json"):
        assert model.recommended
