"""Characters of users' texts, hidden while a template is rendered, so that nothing that it makes of them can become a mark."""

import re
import string
from collections.abc import Iterable
from typing import Any

from core.errors import BadRequest
from gpu.typed import Typed

# Halves of surrogate pairs: no text holds one alone, so nobody can type a shadow.
HALF = re.compile("[\ud800-\udfff]")
HALVES = range(0xDC00, 0xE000)
LETTERS = string.ascii_letters + string.digits + "_"


class Shadows:
    """One shadow for each of ``characters``, and for letters. Hiding and showing keep a text's length."""

    def __init__(self, characters: Iterable[str]) -> None:
        signs, halves = sorted(set(characters)), map(chr, HALVES)
        self._pairs = list(zip(signs, halves, strict=False))
        self._words = [*self._pairs, *zip(sorted(set(LETTERS) - set(signs)), halves, strict=False)]
        self._shown = {shadow: character for character, shadow in self._words}

    def hide(self, text: str) -> str:
        """The text with shadows; those that it has already stay."""
        return _replace(text, self._pairs)

    def hide_word(self, text: str) -> str:
        """The text with shadows for its letters, too."""
        return _replace(text, self._words)

    def show(self, text: str) -> str:
        """The text as it was typed."""
        return HALF.sub(lambda shadow: self._shown.get(shadow[0], shadow[0]), text)

    def word(self, sent: str) -> str:
        """A word of a user's that a template may write into a mark. Raises BadRequest as ``typed`` does."""
        self.mark_typed(sent)
        return Typed(self.hide_word(sent), self.hide_word)

    def mark_typed(self, sent: Any) -> Any:
        """What a user sent, its texts hidden: a text, or whatever JSON holds texts. Raises BadRequest for a text that is none."""
        if isinstance(sent, str):
            if HALF.search(sent):
                message = "messages: there is half of a character in it (a surrogate without its other half). Send the whole character."
                raise BadRequest(message, param="messages")
            hidden = self.hide(sent)
            return sent if hidden == sent else Typed(hidden, self.hide)
        if isinstance(sent, list):
            return list(map(self.mark_typed, sent))
        if isinstance(sent, dict):
            return dict(zip(map(self._key, sent), map(self.mark_typed, sent.values()), strict=True))
        return sent

    def _key(self, key: str) -> Any:
        return key if key.isidentifier() else self.mark_typed(key)


def _replace(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    for character, shadow in pairs:
        text = str.replace(text, character, shadow)  # not Typed's, that looks behind shadows
    return text


NO_SHADOWS = Shadows(())
