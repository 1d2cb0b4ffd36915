"""What is searched for on the web, and what is found there."""

from typing import Annotated

import msgspec

MOST_RESULTS = 20


class SearchWeb(msgspec.Struct, frozen=True, kw_only=True):
    """``count``: how many pages at most. ``content``: whether their text is wanted, too; it takes some seconds more."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=400, extra_json_schema={"pattern": r"\S"})]
    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_RESULTS)] = 5
    content: bool = False


class WebPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page that was found. ``snippet``: what the engine shows of it, as plain text.

    Where text was wanted, ``content`` is the page's own, or else ``error`` says why there is none; ``missing``: a sentence for each thing
    on the page that is not in it.
    """

    title: str
    link: str
    snippet: str
    content: str | None = None
    error: str | None = None
    missing: tuple[str, ...] = ()
