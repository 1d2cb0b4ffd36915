"""How many tokens a text is for an embedding model: by its own tokenizer, or estimated where nobody has that."""

import json
from collections.abc import Callable
from functools import lru_cache

from tokenizers import Tokenizer

ESTIMATED_BYTES = 3
"""English has four to five letters a token with the tokenizers of OpenAI's models: a guess that is high."""


@lru_cache(maxsize=4)
def counter(tokenizer: bytes | None) -> tuple[Callable[[str], int], int]:
    """What counts a text's tokens, and how many more the model adds to each text. ``tokenizer``: a ``tokenizer.json``.

    A mark such as ``[SEP]`` in a text is text, as the embedder reads it.
    """
    if tokenizer is None:
        return lambda text: -(-len(text.encode()) // ESTIMATED_BYTES), 0
    read = Tokenizer.from_str(json.dumps({**json.loads(tokenizer), "added_tokens": [], "truncation": None, "padding": None}))
    return lambda text: len(read.encode(text, add_special_tokens=False).ids), read.num_special_tokens_to_add(is_pair=False)


def shorten(text: str, count: Callable[[str], int], limit: int) -> str:
    """A text of at most so many tokens: its beginning and its end, as much of each. A question stands before or after what it is about."""
    if count(text) <= limit:
        return text
    fits, too_long = 0, len(text) // 2
    while too_long - fits > 1:
        half = (fits + too_long) // 2
        fits, too_long = (half, too_long) if count(_ends_of(text, half)) <= limit else (fits, half)
    return _ends_of(text, fits)


def _ends_of(text: str, half: int) -> str:
    return f"{text[:half]} {text[-half:]}" if half else ""
