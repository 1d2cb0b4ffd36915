"""Annotations as JSON Schema, written as pydantic writes it, without its titles."""

import ast
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from core.models.functions import Schema
from pipelines.functions.constraints import Constraints
from pipelines.functions.scope import NotConstant, Scope

_LISTS = {"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "deque", "Deque"}
_SETS = {"set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict"}
_PLAIN: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "bytes": {"type": "string", "format": "binary"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "timedelta": {"type": "string", "format": "duration"},
    "UUID": {"type": "string", "format": "uuid"},
    "Path": {"type": "string", "format": "path"},
    "EmailStr": {"type": "string", "format": "email"},
    "SecretStr": {"type": "string", "format": "password", "writeOnly": True},
    "HttpUrl": {"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083},
    "AnyUrl": {"type": "string", "format": "uri", "minLength": 1},
    "PositiveInt": {"type": "integer", "exclusiveMinimum": 0},
    "NonNegativeInt": {"type": "integer", "minimum": 0},
    "PositiveFloat": {"type": "number", "exclusiveMinimum": 0},
    "NonNegativeFloat": {"type": "number", "minimum": 0},
    "Decimal": {"anyOf": [{"type": "number"}, {"type": "string"}]},
    **{name: {"type": "array", "items": {}} for name in (*_LISTS, "tuple", "Tuple")},
    **{name: {"type": "array", "items": {}, "uniqueItems": True} for name in _SETS},
    **{name: {"type": "object", "additionalProperties": True} for name in _MAPPINGS},
}
_WRAPPERS = {"Final", "ClassVar", "Required", "NotRequired", "ReadOnly"}
_TYPE_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string"}

_ANYTHING: Schema = {}


class Annotations:
    """Makes schemas; the classes that they name are collected in ``definitions``."""

    def __init__(self, scope: Scope, describe: Callable[[ast.ClassDef, "Annotations"], Schema | None]) -> None:
        """``describe``: the schema of a class of the code, None for one that is no data."""
        self.scope = scope
        self.definitions: dict[str, Schema] = {}
        self._describe = describe
        self._open: set[str] = set()
        self._special: dict[str, Callable[[Sequence[ast.expr]], Schema]] = {
            "tuple": self._tuple,
            "Tuple": self._tuple,
            "Optional": self._optional,
            "Union": self._union,
            "Literal": self._literal,
            "Annotated": self._annotated,
        }

    def schema(self, node: ast.expr | None) -> Schema:
        """Of one annotation; anything where it is missing or nothing is known of it."""
        self.scope.step()
        match node:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str() as text):
                return self.of_text(text)
            case ast.BinOp(op=ast.BitOr()):
                return self._union(_alternatives(node))
            case ast.Subscript(value=origin, slice=inner):
                items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                return self._generic(self.scope.name(origin), items)
            case ast.Name() | ast.Attribute():
                return self._named(self.scope.name(node))
            case _:
                return dict(_ANYTHING)

    def of_text(self, text: str) -> Schema:
        """Of an annotation that is written as a text, or of a type named in a docstring."""
        try:
            return self.schema(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError):
            return dict(_ANYTHING)

    def complete(self, schema: Schema) -> Schema:
        """With the definitions that it refers to."""
        return {**schema, "$defs": self.definitions} if self.definitions else schema

    def _named(self, name: str) -> Schema:
        if name in self.scope.classes:
            return self._class(name)
        return deepcopy(_PLAIN[name]) if name in _PLAIN else self._alias(name)

    def _alias(self, name: str) -> Schema:
        value = self.scope.assigned(name)
        if value is None or name in self._open:
            return dict(_ANYTHING)
        self._open.add(name)
        try:
            return self.schema(value)
        finally:
            self._open.discard(name)

    def _class(self, name: str) -> Schema:
        if name not in self.definitions:
            self.definitions[name] = {}  # so that a class may refer to itself
            described = self._describe(self.scope.classes[name], self)
            if described is None:
                del self.definitions[name]
                return dict(_ANYTHING)
            self.definitions[name] = described
        return {"$ref": f"#/$defs/{name}"}

    def _generic(self, origin: str, items: Sequence[ast.expr]) -> Schema:
        if origin in _LISTS:
            return {"type": "array", "items": self.schema(items[0])}
        if origin in _SETS:
            return {"type": "array", "items": self.schema(items[0]), "uniqueItems": True}
        if origin in _MAPPINGS:
            return {"type": "object", "additionalProperties": (self.schema(items[1]) or True) if len(items) > 1 else True}
        if origin in _WRAPPERS:
            return self.schema(items[0])
        special = self._special.get(origin)
        return special(items) if special else self._named(origin)

    def _optional(self, items: Sequence[ast.expr]) -> Schema:
        return self._union([items[0], ast.Constant(None)])

    def _tuple(self, items: Sequence[ast.expr]) -> Schema:
        if len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is ...:  # noqa: PLR2004 - tuple[int, ...]
            return {"type": "array", "items": self.schema(items[0])}
        bounds = {"type": "array", "minItems": len(items), "maxItems": len(items)}
        return {**bounds, "prefixItems": [self.schema(item) for item in items]} if items else bounds

    def _union(self, items: Sequence[ast.expr]) -> Schema:
        found: list[Schema] = []
        for item in items:
            schema = self.schema(item)
            members = schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
            found += [member for member in members if member not in found]
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _literal(self, items: Sequence[ast.expr]) -> Schema:
        try:
            return enumeration([self.scope.constant(item) for item in items])
        except NotConstant:
            return dict(_ANYTHING)

    def _annotated(self, items: Sequence[ast.expr]) -> Schema:
        schema = self.schema(items[0])
        for item in items[1:]:
            match item:
                case ast.Constant(value=str() as text):
                    schema["description"] = text
                case ast.Call(func=func, args=[ast.Constant(value=str() as text)]) if self.scope.name(func) == "Doc":
                    schema["description"] = text
                case ast.Call(func=func) if self.scope.name(func) == "Field":
                    Constraints.of(item, self.scope).apply(schema)
        return schema


def enumeration(values: Sequence[Any]) -> Schema:
    """One of these values."""
    distinct = [value for index, value in enumerate(values) if not any(_same(value, other) for other in values[:index])]
    kinds = {type(value) for value in distinct}
    schema: Schema = {"const": distinct[0]} if len(distinct) == 1 else {"enum": distinct}
    if len(kinds) == 1 and (name := _TYPE_NAMES.get(kinds.pop())):
        schema["type"] = name
    return schema


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _alternatives(node: ast.expr) -> list[ast.expr]:
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]
