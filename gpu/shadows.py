"""Characters of users' texts, hidden while a template is rendered, so that nothing that it makes of them can become a mark."""

import re
from collections.abc import Iterable
from typing import Any

from core.errors import BadRequest
from gpu.typed import Typed

# Halves of surrogate pairs: no text holds one alone, so nobody can type a shadow.
HALF = re.compile("[\ud800-\udfff]")
HALVES = range(0xDC00, 0xE000)


class Shadows:
    """One shadow for each of ``characters``. Hiding and showing keep a text's length."""

    def __init__(self, characters: Iterable[str]) -> None:
        self._pairs = list(zip(sorted(set(characters)), map(chr, HALVES), strict=False))

    def hide(self, text: str) -> str:
        """The text with shadows; those that it has already stay."""
        for character, shadow in self._pairs:
            text = str.replace(text, character, shadow)  # not Typed's, that looks behind shadows
        return text

    def show(self, text: str) -> str:
        """The text as it was typed."""
        for character, shadow in self._pairs:
            text = str.replace(text, shadow, character)
        return text

    def typed(self, sent: Any) -> Any:
        """What a user sent, its texts hidden: a text, or whatever JSON holds texts. Raises BadRequest for a text that is none."""
        if isinstance(sent, str):
            if HALF.search(sent):
                message = "messages: there is half of a character in it (a surrogate without its other half). Send the whole character."
                raise BadRequest(message, param="messages")
            hidden = self.hide(sent)
            return sent if hidden == sent else Typed(hidden, self.hide)
        if isinstance(sent, list):
            return list(map(self.typed, sent))
        if isinstance(sent, dict):
            return dict(zip(map(self._key, sent), map(self.typed, sent.values()), strict=True))
        return sent

    def _key(self, key: str) -> Any:
        return key if key.isidentifier() else self.typed(key)


NO_SHADOWS = Shadows(())
