"""``python -m gpu.conversion GGUF FOLDER``: a GGUF's tokenizer as ``tokenizer.json``, and how its model chats. Needs transformers."""

import sys
from pathlib import Path

import msgspec
from transformers import AutoTokenizer

from gpu.tokenizer import CHAT_FILE, TOKENIZER_FILE, Chat, write


def convert(path: Path, folder: Path) -> None:
    """``chat.json`` is written last: where it is, all is there."""
    made = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    chat = Chat(
        template=made.chat_template or "",
        special=made.special_tokens_map,
        ends=(made.eos_token_id,) if made.eos_token_id is not None else (),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / TOKENIZER_FILE, made.backend_tokenizer.to_str().encode())
    write(folder / CHAT_FILE, msgspec.json.encode(chat))


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:]))
