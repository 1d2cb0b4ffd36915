"""Values held against a JSON Schema that users' code has brought. What is wrong is named and never repeated: it may be secret."""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import msgspec

from core.errors import BadRequest
from core.models.functions import Schema


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``name``: of the value, or the path to a part of it; ``keyword``: what of the schema it breaks, empty where it is missing."""

    name: str
    keyword: str = ""


def names(schema: Schema) -> Schema:
    """What it knows, each with its own schema."""
    found: Schema = schema.get("properties", {})
    return found


def faults(schema: Schema, values: Mapping[str, Any]) -> list[Fault]:
    """What is missing first, then what is wrong. Raises BadRequest where the schema itself cannot be used."""
    try:
        # Patterns are users' own, so by an engine whose time grows with the text alone.
        validator = jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions())
        errors = list(validator.iter_errors(dict(values)))
    except (ValueError, jsonschema_rs.ValidationError):  # a pattern that such an engine does not know
        message = "What the code says of its values cannot be used: a pattern in it is no regular expression, or looks around or back."
        raise BadRequest(message) from None
    missing = [Fault(name=name) for name in schema.get("required", ()) if name not in values]
    return missing + [
        Fault(name=".".join(map(str, error.instance_path)), keyword=str(error.schema_path[-1]) if error.schema_path else "its schema")
        for error in errors
        if error.instance_path
    ]


def is_reserved(name: str) -> bool:
    """Whether the product fills an argument in: on whose behalf a call is, no caller may say."""
    return name.startswith("__") and name.endswith("__")
