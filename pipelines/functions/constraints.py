"""What pydantic's ``Field(…)`` says of a value."""

import ast
from typing import Any

import msgspec

from core.models.functions import Schema
from pipelines.functions.scope import NotConstant, Scope

_NUMBERS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf"}
_LENGTHS = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}
_PATTERNS = {"pattern": "pattern", "regex": "pattern"}
_NOTES = ("description", "examples", "deprecated")
# What may be added to a schema as it stands. Not what changes which values are valid, nor references to elsewhere.
_EXTRAS = ("secret", "format", "examples", "input", "placeholder", "writeOnly", "readOnly", "deprecated", "description")


class Constraints(msgspec.Struct, frozen=True, kw_only=True):
    """``given``: the arguments that are constants; ``default``: the expression, where there is one; ``optional``: it may be left out."""

    given: dict[str, Any]
    default: ast.expr | None = None
    optional: bool = False

    @classmethod
    def of(cls, call: ast.Call, scope: Scope) -> "Constraints":
        """Read a call of ``Field``."""
        given: dict[str, Any] = {}
        default = call.args[0] if call.args else None
        factory = False
        for keyword in call.keywords:
            if keyword.arg == "default":
                default = keyword.value
            elif keyword.arg == "default_factory":
                factory = True
            elif keyword.arg:
                try:
                    given[keyword.arg] = scope.constant(keyword.value)
                except NotConstant:
                    continue
        if isinstance(default, ast.Constant) and default.value is ...:
            default = None
        return cls(given=given, default=default, optional=factory or default is not None)

    @property
    def alias(self) -> str | None:
        """The name that callers use."""
        found = self.given.get("validation_alias", self.given.get("alias"))
        return found if isinstance(found, str) else None

    def apply(self, schema: Schema) -> None:
        """Write them into the schema of the value."""
        self._limit(schema)
        schema |= {name: self.given[name] for name in _NOTES if self.given.get(name) is not None}
        extra = self.given.get("json_schema_extra")
        if isinstance(extra, dict):
            schema |= {name: extra[name] for name in _EXTRAS if name in extra}

    def _limit(self, schema: Schema) -> None:
        for member in schema.get("anyOf", ()):
            self._limit(member)
        kind = schema.get("type")
        names = dict(_LENGTHS.get(str(kind), {}))
        if kind in {"integer", "number"}:
            names |= _NUMBERS
        elif kind == "string":
            names |= _PATTERNS
        for name, written in names.items():
            value = self.given.get(name)
            expected = str if name in _PATTERNS else (int, float)
            if isinstance(value, expected) and not isinstance(value, bool):
                schema[written] = value
