"""A model's tokenizer: text to ids and what ends an answer. transformers is needed only once, to make ``tokenizer.json`` for a GGUF."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from core.errors import SettingsError
from gpu.chat_template import ChatTemplate
from gpu.marks import Marks

TOKENIZER_FILE = "tokenizer.json"
CHAT_FILE = "chat.json"
SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """How a model chats. ``ends``: the ids that end an answer."""

    template: str
    special: dict[str, str]
    ends: tuple[int, ...]


class ChatTokenizer:
    """Messages to prompt ids."""

    def __init__(self, tokenizer: Tokenizer, chat: Chat) -> None:
        self.tokenizer = tokenizer
        self.ends = frozenset(chat.ends)
        self._is_byte_level = "ByteLevel(" in repr(tokenizer.decoder)
        self._marks = Marks(tokenizer)
        self._template = ChatTemplate(chat.template, chat.special, self._marks.shadows)

    def prompt(self, messages: list[dict[str, Any]]) -> list[int]:
        """The ids that a conversation becomes: marks are the template's alone. Raises BadRequest for one that this model cannot read."""
        return self._marks.encode(self._template.render(messages))

    def piece(self, token: int) -> tuple[str, bytes]:
        """One token's text, and its bytes: those of a part of a character make no text by themselves. Empty for an id without a token."""
        written = self.tokenizer.id_to_token(token) or ""
        if self._is_byte_level and all(letter in BYTE_OF for letter in written):
            raw = bytes(BYTE_OF[letter] for letter in written)
        elif BYTE_TOKEN.fullmatch(written):
            raw = bytes([int(written[3:5], 16)])
        else:
            raw = written.replace("\N{LOWER ONE EIGHTH BLOCK}", " ").encode()
        return raw.decode(errors="replace"), raw


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: those that print stand for themselves, the others for the letters after 255."""
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printing)]
    return {chr(byte): byte for byte in printing} | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_OF = _byte_letters()
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


def of_gguf(path: Path, folder: Path, progress: Callable[[str], None]) -> ChatTokenizer:
    """A GGUF's tokenizer, kept in ``folder`` after the first start."""
    if not (folder / CHAT_FILE).exists():
        progress(f"Reading the tokenizer of {path.name} (once)")
        _convert_gguf(path, folder)
    chat = msgspec.json.decode((folder / CHAT_FILE).read_bytes(), type=Chat)
    return ChatTokenizer(Tokenizer.from_file(str(folder / TOKENIZER_FILE)), chat)


def of_folder(folder: Path) -> ChatTokenizer:
    """The tokenizer of a folder as transformers writes it. Raises SettingsError where there is none."""
    file = folder / TOKENIZER_FILE
    if not file.is_file():
        message = (
            f"{folder} has no tokenizer.json. Write one with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
        )
        raise SettingsError(message)
    tokenizer = Tokenizer.from_file(str(file))
    config = _json(folder / "tokenizer_config.json")
    given = {**_json(folder / "special_tokens_map.json"), **config}
    special = {name: text for name in SPECIAL if (text := _content(given.get(name)))}
    told = _ids(_json(folder / "generation_config.json")) or _ids(_json(folder / "config.json"))
    ends = {*told, tokenizer.token_to_id(special.get("eos_token", ""))}
    written = folder / "chat_template.jinja"
    template = written.read_text(encoding="utf-8") if written.is_file() else _template(config.get("chat_template"))
    return ChatTokenizer(tokenizer, Chat(template=template, special=special, ends=tuple(sorted(end for end in ends if end is not None))))


def _convert_gguf(path: Path, folder: Path) -> None:
    """In a process of its own: transformers takes seconds to import, and hundreds of megabytes that a worker would keep."""
    try:
        subprocess.run((sys.executable, "-m", "gpu.conversion", str(path), str(folder)), capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [""]
        message = f"The tokenizer of {path} cannot be read by transformers ({said[-1]})."
        raise SettingsError(message) from None


def write(path: Path, content: bytes) -> None:
    """Whole or not at all: several workers may do this at once."""
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else token or ""


def _ids(config: dict[str, Any]) -> list[int]:
    ends = config.get("eos_token_id")
    return ends if isinstance(ends, list) else [] if ends is None else [int(ends)]


def _template(given: Any) -> str:
    """``chat_template``: a text, or several by name."""
    if isinstance(given, list):
        given = {entry["name"]: entry["template"] for entry in given}.get("default", "")
    return given or ""
