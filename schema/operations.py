"""Operations: their documents parsed, measured and validated once, then remembered."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from graphql import DocumentNode, GraphQLError, GraphQLSchema, NoSchemaIntrospectionCustomRule, parse, specified_rules
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

from schema.limits import MAX_TOKENS, excess

REMEMBERED = 128
MAX_REMEMBERED_CHARS = 4_096


class Operations(SchemaExtension):
    """Puts a prepared document into its operation. Runs after Entrance, which knows who asks."""

    def on_operation(self) -> Iterator[None]:
        """Bound the parser."""
        self.execution_context.parse_options["max_tokens"] = MAX_TOKENS
        yield

    def on_parse(self) -> Iterator[None]:
        """Take a known document; one that does not parse is left to strawberry, which tells it over every transport."""
        text = self.execution_context.query
        if text and isinstance(text, str):
            with suppress(GraphQLError):
                self.execution_context.graphql_document = _parse(text)
        yield

    def on_validate(self) -> Iterator[None]:
        """Limits first: a document beyond them is not worth validating."""
        operation, text = self.execution_context, self.execution_context.query
        if text and operation.graphql_document:
            schema, introspection = operation.schema._schema, operation.context.may_introspect  # noqa: SLF001 - as strawberry's own validation cache does
            if len(text) <= MAX_REMEMBERED_CHARS:
                faults = _remembered_faults(schema, text, introspection=introspection)
            else:
                faults = _faults(schema, operation.graphql_document, introspection=introspection)
            operation.pre_execution_errors = list(faults)
        yield


def _parse(text: str) -> DocumentNode:
    return _remembered(text) if len(text) <= MAX_REMEMBERED_CHARS else parse(text, max_tokens=MAX_TOKENS)


@lru_cache(maxsize=REMEMBERED)
def _remembered(text: str) -> DocumentNode:
    return parse(text, max_tokens=MAX_TOKENS)


@lru_cache(maxsize=REMEMBERED)
def _remembered_faults(schema: GraphQLSchema, text: str, *, introspection: bool) -> tuple[GraphQLError, ...]:
    return _faults(schema, _remembered(text), introspection=introspection)


def _faults(schema: GraphQLSchema, document: DocumentNode, *, introspection: bool) -> tuple[GraphQLError, ...]:
    if error := excess(document):
        return (error,)
    rules = specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
    return tuple(validate_document(schema, document, tuple(rules)))
