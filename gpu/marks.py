"""A tokenizer's marks, such as ``<|im_start|>``: strings that become one id. Only a template prints them; what a user types is text."""

import re
import secrets
from collections.abc import Iterator
from functools import cached_property

import msgspec
from tokenizers import AddedToken, Encoding, Tokenizer

from gpu.shadows import HALF, Shadows

SEEN = "\N{REPLACEMENT CHARACTER}"
SIGNS = re.compile(r"[^\w\s].")
SECRET = secrets.token_hex(8)
Found = tuple[int, int, int]  # a mark's id, and where it begins and ends in the prompt


class Marks:
    """One tokenizer's marks, and its ids for prompts that hold texts of users.

    ``shadows``: of the characters that begin or end a mark. A template is rendered with these hidden in users' texts: whatever it cuts,
    joins or changes, no mark comes of them.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._marks = {token: mark.strip() for token, mark in _marks(tokenizer).items()}
        self.shadows = Shadows(mark[end] for mark in self._marks.values() for end in (0, -1))

    def encode(self, prompt: str) -> list[int]:
        """The ids of a rendered prompt. Where users typed no mark, they are what the tokenizer gives for the prompt as it is shown."""
        encoding = self._tokenizer.encode(self.shadows.show(prompt), add_special_tokens=False)
        if all(self._is_printed(prompt, found) for found in self._find(encoding)):
            ids: list[int] = encoding.ids
            return ids
        return self._apart(prompt)

    def _apart(self, prompt: str) -> list[int]:
        """The template's marks are found where users' cannot be, and get names that no user knows; then all else is text."""
        pieces, last = list[str](), 0
        for found in self._find(self._tokenizer.encode(HALF.sub(SEEN, prompt), add_special_tokens=False)):
            if self._is_printed(prompt, found):
                token, start, end = found
                pieces += prompt[last:start], _name(token)
                last = end
        text = self.shadows.show("".join([*pieces, prompt[last:]]))
        ids: list[int] = self._renamed.encode(text, add_special_tokens=False).ids
        return ids

    def _find(self, encoding: Encoding) -> Iterator[Found]:
        for place, token in enumerate(encoding.ids):
            if token in self._marks and (span := encoding.token_to_chars(place)):
                yield token, *span

    def _is_printed(self, prompt: str, found: Found) -> bool:
        """Whether the template wrote the mark, rather than a user it or its look-alike; an unknown word's id is no mark either."""
        token, start, end = found
        return prompt[start:end].strip() == self._marks[token]

    @cached_property
    def _renamed(self) -> Tokenizer:
        return rename_marks(self._tokenizer)


def rename_marks(tokenizer: Tokenizer) -> Tokenizer:
    """A copy with the same ids that finds no mark in any text: its marks have names that nobody knows.

    To leave out the added tokens would not do: a model of whole words, or Unigram, finds ``</s>`` in its vocabulary as well.
    """
    names = {mark: _name(token) for token, mark in _marks(tokenizer).items()}
    made = msgspec.json.decode(tokenizer.to_str())
    for token in made["added_tokens"]:
        if token["content"] in names:
            token |= {"content": names[token["content"]], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    model = made["model"]
    words = model["vocab"]
    if isinstance(words, dict):
        model["vocab"] = {names.get(word, word): token for word, token in words.items()}
    else:
        model["vocab"] = [(names.get(word, word), score) for word, score in words]
    if "unk_token" in model:
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if names.keys().isdisjoint((*pair, "".join(pair)))]
    return Tokenizer.from_str(msgspec.json.encode(made).decode())


def _marks(tokenizer: Tokenizer) -> dict[int, str]:
    return {token: added.content for token, added in tokenizer.get_added_tokens_decoder().items() if _is_mark(added)}


def _is_mark(added: AddedToken) -> bool:
    """Words, letters and white space were added to some tokenizers for ordinary text, and are no marks."""
    text = added.content.strip()
    return bool(text) and (added.special or SIGNS.match(text) is not None)


def _name(token: int) -> str:
    return f"{{{SECRET}{token:08}}}"
