"""What a function takes: its signature, its type hints and its docstring as one JSON Schema."""

import ast

import docstring_parser
from docstring_parser import Docstring, DocstringParam

from core.models.functions import FunctionEntry, Schema
from pipelines.functions.annotations import Annotations
from pipelines.functions.classes import annotations_of, set_default
from pipelines.functions.constraints import Constraints
from pipelines.functions.scope import Scope

MAX_DOCSTRING = 16_384  # characters; a longer one is kept, but not taken apart

Callable = ast.FunctionDef | ast.AsyncFunctionDef


def entry_of(function: Callable, scope: Scope, *, method: bool = False) -> FunctionEntry:
    """One callable. ``method``: of a class, so that what it is bound to is no parameter."""
    annotations, written = annotations_of(scope), _parse(ast.get_docstring(function) or "")
    documented = {parameter.arg_name.lstrip("*"): parameter for parameter in written.params} if written else {}
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    if method and not any(scope.name(decorator) == "staticmethod" for decorator in function.decorator_list):
        positional, defaults = positional[1:], defaults[1:]
    pairs = [*zip(positional, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for argument, written_default in pairs:
        if _is_injected(argument.arg):
            continue
        stated = _parameter(argument, documented.get(argument.arg), annotations)
        default, optional = written_default, written_default is not None
        if isinstance(default, ast.Call) and scope.name(default.func) == "Field":
            constraints = Constraints.of(default, scope)
            constraints.apply(stated)
            default, optional = constraints.default, constraints.optional
        set_default(stated, default, scope)
        properties[argument.arg] = stated
        if not optional:
            required.append(argument.arg)
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": arguments.kwarg is not None}
    if required:
        schema["required"] = required
    return FunctionEntry(
        name=function.name,
        description=((written.description if written else ast.get_docstring(function)) or "").strip(),
        parameters=annotations.complete(schema),
        injected=tuple(argument.arg for argument, _ in pairs if _is_injected(argument.arg)),
        is_async=isinstance(function, ast.AsyncFunctionDef),
    )


def _parameter(argument: ast.arg, documented: DocstringParam | None, annotations: Annotations) -> Schema:
    if argument.annotation is None and documented and documented.type_name:
        stated = annotations.of_text(documented.type_name)
    else:
        stated = annotations.schema(argument.annotation)
    if documented and documented.description and "description" not in stated:
        stated["description"] = documented.description
    return stated


def _is_injected(name: str) -> bool:
    """Open WebUI's own: ``__user__``, ``__event_emitter__`` and the like."""
    return name.startswith("__") and name.endswith("__")


def _parse(text: str) -> Docstring | None:
    if not text or len(text) > MAX_DOCSTRING:
        return None
    try:
        return docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return None
