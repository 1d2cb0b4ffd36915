"""What a document may ask, measured before it is validated, in time linear in its length.

Each fragment is measured once, however often it is spread. (Strawberry's own limiters walk it once for each path to it: thirty fragments
that each spread the next one twice hold them for minutes.)
"""

from dataclasses import dataclass
from typing import cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
)

MAX_TOKENS = 2_000
MAX_DEPTH = 12
MAX_ALIASES = 50
MAX_FIELDS = 500
_INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass(frozen=True, slots=True)
class Extent:
    """``depth``: nested fields; ``aliases`` and ``fields``: how many, with all fragments spread."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0

    def beside(self, other: "Extent") -> "Extent":
        """Both, next to each other."""
        return Extent(max(self.depth, other.depth), self.aliases + other.aliases, self.fields + other.fields)


def excess(document: DocumentNode) -> GraphQLError | None:
    """The limit that a document goes beyond, or None. Introspection may go as deep as graphql-core's own rule for it allows."""
    fragments = _fragments(document)
    measured: dict[str, Extent] = {}
    whole = Extent()
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            whole = whole.beside(_measure(node.selection_set, fragments, measured))
    limits = (("levels", whole.depth, MAX_DEPTH), ("aliases", whole.aliases, MAX_ALIASES), ("fields", whole.fields, MAX_FIELDS))
    for name, found, allowed in limits:
        if found > allowed:
            return GraphQLError(f"The document asks for more than {allowed} {name}. Split it into several requests.")
    return None


def root_fields(document: DocumentNode, name: str | None) -> tuple[OperationType, int]:
    """The kind of the operation to be run, and how many fields it has at its top, of a document that is valid and within the limits."""
    fragments = _fragments(document)
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    chosen = next((node for node in operations if name and node.name and node.name.value == name), operations[0])
    return chosen.operation, _count_roots(chosen.selection_set, fragments)


def _count_roots(selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode]) -> int:
    count = 0
    for node in selections.selections:
        if isinstance(node, FieldNode):
            count += 1
        else:
            inner = fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else cast("InlineFragmentNode", node)
            count += _count_roots(inner.selection_set, fragments)
    return count


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}


def _measure(selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode], measured: dict[str, Extent]) -> Extent:
    whole = Extent()
    for node in selections.selections:
        if isinstance(node, FieldNode):
            inner = _measure(node.selection_set, fragments, measured) if node.selection_set else Extent()
            depth = 0 if node.name.value in _INTROSPECTION else inner.depth + 1
            whole = whole.beside(Extent(depth, inner.aliases + (node.alias is not None), inner.fields + 1))
        elif isinstance(node, FragmentSpreadNode):
            whole = whole.beside(_measure_fragment(node.name.value, fragments, measured))
        else:
            whole = whole.beside(_measure(cast("InlineFragmentNode", node).selection_set, fragments, measured))
    return whole


def _measure_fragment(name: str, fragments: dict[str, FragmentDefinitionNode], measured: dict[str, Extent]) -> Extent:
    """A fragment that is not there, or within itself, counts nothing here: validation refuses it."""
    if name not in measured:
        measured[name] = Extent()
        if name in fragments:
            measured[name] = _measure(fragments[name].selection_set, fragments, measured)
    return measured[name]
