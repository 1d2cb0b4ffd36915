"""Cursor connections: every list that can grow comes in pages."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, NamedTuple, Self, TypeVar

import strawberry
from strawberry.relay import PageInfo

from core.errors import BadRequest
from schema.context import Info

DEFAULT_PAGE = 50
MAX_PAGE = 100

Node = TypeVar("Node")
Item = TypeVar("Item")

First = Annotated[int | None, strawberry.argument(description=f"How many from the front, 1 to {MAX_PAGE}.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on from, forwards.")]
Last = Annotated[int | None, strawberry.argument(description=f"How many from the end, 1 to {MAX_PAGE}.")]
Before = Annotated[str | None, strawberry.argument(description="The cursor to go on from, backwards.")]


@strawberry.type(description="A place in a list.")
class Edge(Generic[Node]):
    """One item with its cursor."""

    cursor: str
    node: Node


@strawberry.type(description="One page of a list.")
class Connection(Generic[Node]):
    """A page, as Relay's connection specification has it, with ``nodes`` for those who need no cursors."""

    page_info: PageInfo
    edges: list[Edge[Node]]
    nodes: list[Node]

    @classmethod
    def of(cls, info: Info, page: "Window[Item]", project: Callable[[Item], Node], cursor: Callable[[Item], str]) -> Self:
        """A page of projected items."""
        info.context.spend(len(page.items))
        nodes = [project(item) for item in page.items]
        edges = [Edge(cursor=cursor(item), node=node) for item, node in zip(page.items, nodes, strict=True)]
        ends = (edges[0].cursor, edges[-1].cursor) if edges else (None, None)
        return cls(
            page_info=PageInfo(has_previous_page=page.more_before, has_next_page=page.more_after, start_cursor=ends[0], end_cursor=ends[1]),
            edges=edges,
            nodes=nodes,
        )


class PageArguments(NamedTuple):
    """A connection's arguments, as Relay names them."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None


class Window(Generic[Item]):
    """A stretch of a list, and whether there is more of it on either side."""

    def __init__(self, items: Sequence[Item], *, more_before: bool = False, more_after: bool = False) -> None:
        self.items = items
        self.more_before = more_before
        self.more_after = more_after

    @classmethod
    def cut(cls, items: Sequence[Item], cursor: Callable[[Item], str], asked: PageArguments) -> Self:
        """The stretch of a whole list that is asked for, by default its end. Raises BadRequest for a cursor or a size that is none."""
        places = {cursor(item): place for place, item in enumerate(items)} if asked.after or asked.before else {}
        start = _place(places, asked.after, "after") + 1 if asked.after else 0
        stop = _place(places, asked.before, "before") if asked.before else len(items)
        if asked.first is not None:
            stop = min(stop, start + size(asked.first, "first"))
        if asked.last is not None or asked.first is None:
            start = max(start, stop - size(asked.last, "last"))
        return cls(items[start:stop], more_before=start > 0, more_after=stop < len(items))


def size(asked: int | None, argument: str) -> int:
    """A page size. Raises BadRequest for one that is not allowed."""
    asked = DEFAULT_PAGE if asked is None else asked
    if not 1 <= asked <= MAX_PAGE:
        message = f"{argument} is {asked}: ask for 1 to {MAX_PAGE} at a time, and go on with the page's cursor."
        raise BadRequest(message, param=argument)
    return asked


def _place(places: dict[str, int], cursor: str, argument: str) -> int:
    if cursor not in places:
        message = f"{argument} is no cursor of this list. Take endCursor or startCursor of a page, as it came."
        raise BadRequest(message, param=argument)
    return places[cursor]
