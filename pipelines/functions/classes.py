"""Classes of the code that hold data: pydantic models, dataclasses, TypedDicts and enumerations."""

import ast
from collections.abc import Iterator

from core.models.functions import Schema
from pipelines.functions.annotations import Annotations, enumeration
from pipelines.functions.constraints import Constraints
from pipelines.functions.scope import NotConstant, Scope, statements

_ENUMS = {"Enum", "StrEnum", "IntEnum", "Flag", "IntFlag"}
_MODELS = {"BaseModel", "BaseSettings"}
_NO_FIELDS = {"ClassVar", "InitVar"}


def annotations_of(scope: Scope) -> Annotations:
    """What makes the schemas of a module's annotations."""
    return Annotations(scope, describe)


def describe(node: ast.ClassDef, annotations: Annotations) -> Schema | None:
    """The JSON Schema of what a class holds; None for a class that is no data."""
    scope = annotations.scope
    bases = scope.bases(node)
    if bases & _ENUMS:
        schema = _enumeration(node, scope)
    elif "TypedDict" in bases:
        schema = _typed_dict(node, annotations)
    elif bases & _MODELS or _is_dataclass(node, scope):
        schema = _object(node, annotations)
    else:
        return None
    text = ast.get_docstring(node)
    return {**schema, "description": text} if text else schema


def set_default(schema: Schema, default: ast.expr | None, scope: Scope) -> None:
    """Write down what is taken where nothing is given, if that can be told without running it."""
    if default is not None:
        try:
            schema["default"] = scope.constant(default)
        except NotConstant:
            return


def _enumeration(node: ast.ClassDef, scope: Scope) -> Schema:
    try:
        values = list(scope.members(node).values())
    except NotConstant:
        return {}
    return enumeration(values) if values else {}


def _object(node: ast.ClassDef, annotations: Annotations) -> Schema:
    scope, properties = annotations.scope, dict[str, Schema]()
    required: dict[str, bool] = {}
    names: dict[str, str] = {}
    schema: Schema = {"type": "object"}
    for part in scope.lineage(node):
        if _forbids_more(part, scope):
            schema["additionalProperties"] = False
        for field, annotation, value in _fields(part, scope):
            stated = annotations.schema(annotation)
            default, optional, alias = value, value is not None, None
            if isinstance(value, ast.Call) and scope.name(value.func) in {"Field", "field"}:
                constraints = Constraints.of(value, scope)
                constraints.apply(stated)
                default, optional, alias = constraints.default, constraints.optional, constraints.alias
            set_default(stated, default, scope)
            previous = names.get(field)
            if previous is not None:
                properties.pop(previous)
                required.pop(previous)
            name = names[field] = alias or field
            properties[name], required[name] = stated, not optional
    return _finish(schema, properties, [name for name, wanted in required.items() if wanted])


def _typed_dict(node: ast.ClassDef, annotations: Annotations) -> Schema:
    scope, properties = annotations.scope, dict[str, Schema]()
    required: dict[str, bool] = {}
    for part in scope.lineage(node):
        total = not any(keyword.arg == "total" and _is(keyword.value, value=False) for keyword in part.keywords)
        for field, annotation, _ in _fields(part, scope):
            properties[field] = annotations.schema(annotation)
            wrapper = scope.name(annotation.value) if isinstance(annotation, ast.Subscript) else ""
            required[field] = {"Required": True, "NotRequired": False}.get(wrapper, total)
    return _finish({"type": "object"}, properties, [name for name, wanted in required.items() if wanted])


def _finish(schema: Schema, properties: dict[str, Schema], required: list[str]) -> Schema:
    schema["properties"] = properties
    return {**schema, "required": required} if required else schema


def _fields(node: ast.ClassDef, scope: Scope) -> Iterator[tuple[str, ast.expr, ast.expr | None]]:
    for statement in statements(node.body):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value) if not name.startswith("_"):
                origin = annotation.value if isinstance(annotation, ast.Subscript) else annotation
                if scope.name(origin) not in _NO_FIELDS and name != "model_config":
                    yield name, annotation, value


def _is_dataclass(node: ast.ClassDef, scope: Scope) -> bool:
    decorators = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return any(scope.name(one) == "dataclass" for one in decorators)


def _forbids_more(node: ast.ClassDef, scope: Scope) -> bool:
    for statement in statements(node.body):
        match statement:
            case ast.Assign(targets=[ast.Name(id="model_config")], value=ast.Call(keywords=keywords)):
                return any(keyword.arg == "extra" and _is(keyword.value, value="forbid") for keyword in keywords)
            case ast.Assign(targets=[ast.Name(id="model_config")], value=ast.Dict() as written):
                pairs = zip(written.keys, written.values, strict=True)
                return any(key is not None and _is(key, value="extra") and _is(value, value="forbid") for key, value in pairs)
            case ast.ClassDef(name="Config", body=body):
                settings = (line for line in body if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name))
                return any(scope.name(line.targets[0]) == "extra" and _is(line.value, value="forbid") for line in settings)
    return False


def _is(node: ast.expr, *, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value if isinstance(value, bool) else getattr(node, "value", None) == value
