"""Settings of functions: Open WebUI's ``Valves`` and ``UserValves``.

A value is secret, so that it is kept encrypted and never shown, where its field says ``Field(json_schema_extra={"secret": True})``, is a
``SecretStr``, or has a name that ends in a word such as ``password``, ``api_key``, ``token`` or ``secret``.
``json_schema_extra={"secret": False}`` says that such a name holds none. A field that holds an object is secret as a whole or not at all.
"""

import ast
import re

from core.models.functions import Schema
from pipelines.functions.classes import annotations_of, describe
from pipelines.functions.scope import Scope

_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|credentials?|(api|access|private|secret|auth)_?key)$", re.IGNORECASE
)


def valves_of(node: ast.ClassDef | None, scope: Scope) -> Schema | None:
    """The JSON Schema of a settings class, its secret fields marked ``"secret": true``; None for a class that is no model."""
    if node is None:
        return None
    annotations = annotations_of(scope)
    schema = describe(node, annotations)
    if schema is None:
        return None
    for name, stated in schema.get("properties", {}).items():
        if stated.setdefault("secret", _looks_secret(name, stated)):
            stated["writeOnly"] = True
            stated.pop("default", None)  # whoever sets their own need not see the author's
        else:
            del stated["secret"]
    return annotations.complete(schema)


def _looks_secret(name: str, stated: Schema) -> bool:
    kinds = [member.get("format") for member in (stated, *stated.get("anyOf", ()))]
    return "password" in kinds or bool(_SECRET_NAME.search(name))
