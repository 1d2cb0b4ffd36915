"""Questions with passages as a cross-encoder reads them: both in one row of ids. Imports no torch."""

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tokenizers import Tokenizer

from core.errors import SettingsError
from gpu.marks import rename_marks
from gpu.tokenizer import TOKENIZER_FILE

PAIR_TOKENS = 1024
"""A longer pair is cut, the longer of its two texts first: one must not keep the device for long."""

CHARACTERS = 8 * PAIR_TOKENS
ROBERTAS = ("camembert", "roberta", "xlm-roberta", "xlm-roberta-xl")  # their positions begin behind the padding's id


class Pair(list[int]):
    """The ids of both, with the special tokens. ``kinds``: of each id, which of the two texts it belongs to, as the tokenizer says."""

    __slots__ = ("kinds",)

    def __init__(self, ids: Sequence[int], kinds: Sequence[int]) -> None:
        super().__init__(ids)
        self.kinds = kinds


class CrossEncoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``config.json``, as far as it says whether this is a cross-encoder, and how much it reads. Two labels: where it names none."""

    architectures: tuple[str, ...] = ()
    model_type: str = ""
    id2label: dict[str, str] | None = None
    num_labels: int = 2
    max_position_embeddings: int = PAIR_TOKENS
    pad_token_id: int | None = None

    @property
    def labels(self) -> int:
        """How many numbers it gives for a pair."""
        return self.num_labels if self.id2label is None else len(self.id2label)

    @property
    def tokens(self) -> int:
        """How many a pair may have."""
        begin = (self.pad_token_id or 0) + 1 if self.model_type in ROBERTAS else 0
        return min(PAIR_TOKENS, self.max_position_embeddings - begin)


class _TokenizerConfig(msgspec.Struct, frozen=True, kw_only=True):
    model_max_length: float | None = None


def read_config(folder: Path) -> CrossEncoderConfig:
    """A folder's ``config.json``. Raises SettingsError for a folder without a cross-encoder, saying what is wrong with it."""
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=CrossEncoderConfig)
    except OSError as error:
        raise _useless(folder, f"its config.json cannot be read ({error.strerror})") from None
    except msgspec.MsgspecError as error:
        raise _useless(folder, f"its config.json cannot be read ({error})") from None
    if not any(name.endswith("ForSequenceClassification") for name in config.architectures):
        raise _useless(folder, f"it holds {', '.join(config.architectures) or 'a model of no known kind'}")
    if config.labels != 1:
        raise _useless(folder, f"its model gives {config.labels} numbers for a pair")
    if not any(folder.glob("*.safetensors")):
        raise _useless(folder, "it has no *.safetensors")
    if not (folder / TOKENIZER_FILE).is_file():
        raise _useless(folder, f"it has no {TOKENIZER_FILE}")
    return config


class PairReader:
    """``folder``: a model's with its ``tokenizer.json``, which is opened with the first pair."""

    def __init__(self, folder: Path, config: CrossEncoderConfig) -> None:
        self._folder = folder
        self._tokens = config.tokens
        self._opening = threading.Lock()
        self._tokenizer: Tokenizer | None = None

    def read(self, query: str, passages: Sequence[str]) -> list[Pair]:
        """The query with each passage; takes some milliseconds for fifty."""
        pairs = [(query[:CHARACTERS], passage[:CHARACTERS]) for passage in passages]
        return [Pair(read.ids, read.type_ids) for read in self._open().encode_batch(pairs)]

    def _open(self) -> Tokenizer:
        with self._opening:
            if self._tokenizer is None:
                tokenizer = rename_marks(Tokenizer.from_file(str(self._folder / TOKENIZER_FILE)))
                tokenizer.no_padding()
                tokenizer.enable_truncation(self._limit(), strategy="longest_first")
                self._tokenizer = tokenizer
            return self._tokenizer

    def _limit(self) -> int:
        file = self._folder / "tokenizer_config.json"
        told = msgspec.json.decode(file.read_bytes(), type=_TokenizerConfig).model_max_length if file.is_file() else None
        return int(min(self._tokens, told or self._tokens))


def _useless(folder: Path, why: str) -> SettingsError:
    message = (
        f"PENSTOCK_RERANKING_MODEL: {folder} is no cross-encoder: {why}. Name a folder with a sequence classification model of "
        "transformers that has one label: config.json, *.safetensors and tokenizer.json."
    )
    return SettingsError(message)
