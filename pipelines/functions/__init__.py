"""What a piece of users' Python holds, read from its text alone: nothing of it is imported or run here."""

import ast
import re
import threading
import warnings

from core.errors import BadRequest
from core.models.functions import Definition, FunctionEntry, FunctionKind
from pipelines.functions.scope import Scope, statements
from pipelines.functions.signatures import Callable, entry_of
from pipelines.functions.valves import valves_of

FILENAME = "<function>"

_CLASSES = {
    "Tools": FunctionKind.TOOLS,
    "Pipe": FunctionKind.PIPE,
    "Filter": FunctionKind.FILTER,
    "Action": FunctionKind.ACTION,
}
_METHODS = {
    FunctionKind.PIPE: ("pipe", "pipes"),
    FunctionKind.FILTER: ("inlet", "outlet", "stream"),
    FunctionKind.ACTION: ("action",),
}
_FRONTMATTER = re.compile(r"^\s*([a-z_]+):\s*(.*?)\s*$", re.IGNORECASE)
_COMPILING = threading.Lock()  # warnings are silenced for the whole process


def read(content: str, name: str) -> Definition:
    """Find what can be called, and what it takes.

    One of the classes ``Tools``, ``Pipe``, ``Filter`` and ``Action``, in this order; else the function with this name, or the only public
    one. Raises BadRequest: with line and column where the code is no Python, and where there is nothing to call.
    """
    module = _parse(content)
    try:
        return _define(module, name)
    except RecursionError:
        raise BadRequest(_TOO_DEEP, param="content") from None


def _define(module: ast.Module, name: str) -> Definition:
    scope, manifest = Scope(module), _frontmatter(module)
    owner = next((scope.classes[known] for known in _CLASSES if _at_top(module, known)), None)
    if owner is None:
        return Definition(
            kind=FunctionKind.FUNCTION,
            entries=(entry_of(_choose(scope, name), scope),),
            manifest=manifest,
            valves=valves_of(scope.classes.get("Valves"), scope),
            user_valves=valves_of(scope.classes.get("UserValves"), scope),
        )
    kind = _CLASSES[owner.name]
    inner = {one.name: one for part in scope.lineage(owner) for one in statements(part.body) if isinstance(one, ast.ClassDef)}
    return Definition(
        kind=kind,
        entries=_entries(owner, kind, scope),
        manifest=manifest,
        valves=valves_of(inner.get("Valves"), scope),
        user_valves=valves_of(inner.get("UserValves"), scope),
    )


def _parse(content: str) -> ast.Module:
    try:
        with _COMPILING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a text is no error
            module = ast.parse(content, FILENAME)
            compile(module, FILENAME, "exec", dont_inherit=True)  # finds what the grammar allows: a return outside a function
    except SyntaxError as error:
        message = f"content: line {error.lineno or 1}, column {error.offset or 1}: {error.msg}."
        raise BadRequest(message, param="content") from None
    except (RecursionError, MemoryError):
        raise BadRequest(_TOO_DEEP, param="content") from None
    except ValueError:  # a NUL, half of a surrogate pair
        message = "content: holds characters that Python code cannot hold."
        raise BadRequest(message, param="content") from None
    return module


def _frontmatter(module: ast.Module) -> dict[str, str]:
    lines = (ast.get_docstring(module) or "").splitlines()
    return {found[1].lower(): found[2] for line in lines if (found := _FRONTMATTER.match(line))}


def _at_top(module: ast.Module, name: str) -> bool:
    return any(isinstance(one, ast.ClassDef) and one.name == name for one in statements(module.body))


def _choose(scope: Scope, name: str) -> Callable:
    for wanted in (name, re.sub(r"\W+", "_", name.strip().lower())):
        if wanted in scope.functions:
            return scope.functions[wanted]
    public = [found for found in scope.functions if not found.startswith("_")]
    if len(public) == 1:
        return scope.functions[public[0]]
    if public:
        message = (
            f"content: has several functions ({', '.join(public[:10])}). Name one of them like the function, or begin the others with _."
        )
    else:
        message = "content: has nothing to call. Write a function, or one of the classes Tools, Pipe, Filter and Action."
    raise BadRequest(message, param="content")


def _entries(owner: ast.ClassDef, kind: FunctionKind, scope: Scope) -> tuple[FunctionEntry, ...]:
    methods: dict[str, Callable] = {}
    for part in scope.lineage(owner):
        for one in statements(part.body):
            if isinstance(one, Callable):
                methods[one.name] = one
    known = _METHODS.get(kind)
    wanted = [method for method in methods if method in known] if known else [method for method in methods if not method.startswith("_")]
    if not wanted:
        lacking = f"one of the methods {', '.join(known)}" if known else "a public method"
        message = f"content: the class {owner.name} needs {lacking}."
        raise BadRequest(message, param="content")
    return tuple(entry_of(methods[method], scope, method=True) for method in wanted)


_TOO_DEEP = "content: the code is nested too deeply to be read."
