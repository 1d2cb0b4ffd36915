"""The models that can be asked: served ones, and custom ones on top of them."""

import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from core.models.completions import Parameters

ModelId = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$")]
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Task(StrEnum):
    """What a model can be asked for."""

    CHAT = "chat"
    EMBEDDING = "embedding"


ANY_TASK = (Task.CHAT, Task.EMBEDDING)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """``created``: Unix seconds. ``pool``: the worker pool that answers for it. ``context_length`` in tokens, where known.

    ``tasks``: what it can be asked for; all of them where that is not known, and then it answers for itself.
    ``size_bytes``: of its weights, where known. ``tokenizer``: where those find it who count tokens (core.services.models.tokenizers).
    ``base_model_id`` and ``meta``: of a custom model.
    """

    id: str
    name: str
    owned_by: str
    created: int
    pool: str
    context_length: int | None = None
    tasks: tuple[Task, ...] = ANY_TASK
    size_bytes: int | None = None
    tokenizer: str | None = None
    base_model_id: str | None = None
    meta: dict[str, Any] = {}


class CustomModel(msgspec.Struct, frozen=True, kw_only=True):
    """A served model under another name, with parameters of its own. Times are Unix seconds.

    ``params``: those of a request, and ``system``, a prompt that only its owner and administrators see. ``meta``: whatever clients keep.
    Nobody can ask one that is not ``is_active``.
    """

    id: str
    name: str
    base_model_id: str
    user_id: str
    params: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    is_active: bool = True
    created_at: int
    updated_at: int

    @property
    def system(self) -> str:
        """Its system prompt."""
        return self.params.get("system") or ""


class ModelParameters(Parameters, frozen=True, kw_only=True):
    """What a custom model asks for where a request does not say. ``system`` comes before a request's own system prompt."""

    system: str | None = None


class CreateModel(msgspec.Struct, frozen=True, kw_only=True):
    """A new custom model. Without ``id``: made of the name. ``base_model_id`` is another name for ``base_model``; one of them is needed."""

    name: ModelName
    id: ModelId | None = None
    base_model: str | None = None
    base_model_id: str | None = None
    params: ModelParameters = ModelParameters()
    meta: dict[str, Any] = {}
    is_active: bool = True


class UpdateModel(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a custom model. What is null or missing stays; ``params`` and ``meta`` are replaced whole."""

    name: ModelName | None = None
    base_model: str | None = None
    base_model_id: str | None = None
    params: ModelParameters | None = None
    meta: dict[str, Any] | None = None
    is_active: bool | None = None


def display_name(model_id: str) -> str:
    """A name for people, where nobody gave one: ``llama3.3:70b`` is called Llama 3.3 70B, ``gpt-4`` GPT-4, ``smollm2`` SmolLM2."""
    words = re.split(r"[\s:-]+", model_id.rpartition("/")[2].removesuffix(":latest"))
    return _VERSION.sub(r"\1-\2", " ".join(_shown(word) for word in words if word)) or model_id


def _shown(word: str) -> str:
    """A family's own spelling is kept, with its number; one that is spelled like any word has its number apart."""
    if family := _FAMILY.fullmatch(word):
        name, number = family.groups()
        spelled = _SPELLINGS.get(name.lower(), name)
        return f"{spelled}{number}" if _OWN_CASE.fullmatch(spelled) else f"{_capitalised(spelled)} {number}".rstrip()
    return word[:-1] + word[-1].upper() if _SIZE.fullmatch(word) else _capitalised(word)


def _capitalised(word: str) -> str:
    if _ACRONYM.fullmatch(word):
        return word.upper()
    return word[:1].upper() + word[1:] if word[1:2].isalpha() else word


_FAMILY = re.compile(r"([a-zA-Z]{3,})(\d[\d.]*|)")
_OWN_CASE = re.compile(r"(?=.*[a-z]).+[A-Z].*")
_SIZE = re.compile(r"(\d+x)?\d+(\.\d+)?[bmk]", re.IGNORECASE)
_ACRONYM = re.compile(r"[bcdfghjklmnpqrstvwxz]{2,4}")
_VERSION = re.compile(r"^(GPT) (\d|OSS)")
_SPELLINGS = {
    spelled.lower(): spelled
    for spelled in (
        *("BGE", "GGUF", "GTE", "OSS", "ChatGLM", "CodeGemma", "CodeLlama", "DeepSeek", "EmbeddingGemma", "InternLM", "LLaVA", "MiniCPM"),
        *("MiniLM", "OLMo", "OpenHermes", "QwQ", "SmolLM", "SmolVLM", "StableLM", "StarCoder", "TinyLlama", "WizardLM"),
    )
}
