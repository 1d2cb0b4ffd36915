"""What users typed, on its way through a template: it reads as they typed it, and stays known as theirs."""

from collections.abc import Callable, Iterable
from typing import Any, Self

LOOKING = (
    *("__contains__", "__getitem__", "count", "find", "index", "rfind", "rindex", "startswith", "endswith"),
    *("split", "rsplit", "splitlines", "partition", "rpartition", "removeprefix", "removesuffix"),
)
STRIPPING = ("strip", "lstrip", "rstrip")


class Typed(str):
    """A text in which some characters are hidden behind others, one for one (``gpu.shadows``).

    Templates look into messages for marks: ``content.split('</think>')``. What they look for is therefore hidden too where it stands
    hidden in the text; what they cut out of it or add to it is again such a text.
    """

    __slots__ = ("hide",)
    hide: Callable[[str], str]

    def __new__(cls, text: str, hide: Callable[[str], str] = str) -> Self:
        """``text``: with what users typed hidden already. ``hide``: idempotent."""
        made = super().__new__(cls, text)
        made.hide = hide
        return made

    def __str__(self) -> str:
        return self  # filters write str(text).replace(...)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str.__eq__(self.hide(self), self.hide(other))

    __ne__ = object.__ne__
    __hash__ = str.__hash__

    def __add__(self, after: str) -> "Typed":
        return Typed(str.__add__(self, after), self.hide)

    def __radd__(self, before: str) -> "Typed":
        return Typed(str.__add__(before, self), self.hide)

    def replace(self, old: str, new: str, *count: Any) -> "Typed":
        """As ``str.replace``. ``new`` is the template's own, and not hidden."""
        return Typed(str.replace(self, self._hide(old), new, *count), self.hide)

    def _hide(self, asked: Any) -> Any:
        if isinstance(asked, tuple):
            return tuple(map(self._hide, asked))
        if not isinstance(asked, str):
            return asked
        hidden = self.hide(asked)
        return hidden if str.__contains__(self, hidden) else asked

    def _wrap(self, found: Any) -> Any:
        if isinstance(found, list | tuple):
            return type(found)(map(self._wrap, found))
        return Typed(found, self.hide) if isinstance(found, str) else found


def _looking(name: str) -> Callable[..., Any]:
    ask = getattr(str, name)

    def method(self: Typed, *asked: Any, **named: Any) -> Any:
        sought = {word: self._hide(value) for word, value in named.items()}
        return self._wrap(ask(self, *map(self._hide, asked), **sought))

    return method


def _stripping(name: str) -> Callable[..., Typed]:
    strip = getattr(str, name)
    return lambda self, letters=None: Typed(strip(self, letters and letters + self.hide(letters)), self.hide)


for _name in LOOKING:
    setattr(Typed, _name, _looking(_name))
for _name in STRIPPING:
    setattr(Typed, _name, _stripping(_name))


def join(parts: Iterable[str]) -> str:
    """What a template or one of its macros prints: typed where a part is."""
    parts = list(parts)
    text = "".join(parts)
    typed = next((part for part in parts if isinstance(part, Typed)), None)
    return text if typed is None else Typed(text, typed.hide)
