"""What the names in a piece of code stand for, as far as it can be told without running it."""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.errors import BadRequest

MAX_STEPS = 50_000

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class NotConstant(Exception):
    """A value that is known only when the code runs."""


class Scope:
    """The classes, the assignments and the imported names of one module."""

    def __init__(self, module: ast.Module) -> None:
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self._assigned: dict[str, ast.expr] = {}
        self._imported: dict[str, str] = {}
        self._steps = 0
        self._read(module.body)
        for node in list(self.classes.values()):
            for inner in statements(node.body):
                if isinstance(inner, ast.ClassDef):
                    self.classes.setdefault(inner.name, inner)

    def step(self) -> None:
        """Count a step: aliases of aliases could take for ever. Raises BadRequest."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            message = "content: its annotations and constants are too many, or refer to each other too often."
            raise BadRequest(message, param="content")

    def name(self, node: ast.expr) -> str:
        """What a name or ``module.name`` was called where it was defined; empty for anything else."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id, node.id)
        return node.attr if isinstance(node, ast.Attribute) else ""

    def assigned(self, name: str) -> ast.expr | None:
        """What a name of the module was given."""
        return self._assigned.get(name)

    def bases(self, node: ast.ClassDef) -> set[str]:
        """The names of all that a class inherits from."""
        found: set[str] = set()
        waiting = list(node.bases)
        while waiting:
            base = waiting.pop()
            name = self.name(base.value if isinstance(base, ast.Subscript) else base)
            if name and name not in found:
                found.add(name)
                waiting += self.classes[name].bases if name in self.classes else []
        return found

    def lineage(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """A class and those it inherits from that stand in the code, the most general first."""
        found: dict[str, ast.ClassDef] = {}

        def visit(one: ast.ClassDef) -> None:
            self.step()
            for base in reversed(one.bases):
                parent = self.classes.get(self.name(base))
                if parent and parent is not one and parent.name not in found:
                    visit(parent)
            found[one.name] = one

        visit(node)
        return list(found.values())

    def constant(self, node: ast.expr) -> Any:  # noqa: PLR0911 - a line for each kind of expression
        """The JSON value that an expression has. Raises NotConstant."""
        self.step()
        match node:
            case ast.Constant(value=None | bool() | str() | int() as value):
                return value
            case ast.Constant(value=float() as value) if math.isfinite(value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._calculate(_ARITHMETIC[type(op)], left, right)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return [self.constant(item) for item in items]
            case ast.Dict(keys=keys, values=values):
                return {self._key(key): self.constant(value) for key, value in zip(keys, values, strict=True)}
            case ast.Name(id=name) if name in self._assigned:
                return self.constant(self._assigned[name])
            case ast.Attribute(value=ast.Attribute() as member, attr="value"):
                return self._member(member)
            case ast.Attribute():
                return self._member(node)
            case _:
                raise NotConstant

    def members(self, node: ast.ClassDef) -> dict[str, Any]:
        """The values of an enumeration by their names. Raises NotConstant."""
        found: dict[str, Any] = {}
        for statement in node.body:
            if isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Name):
                if target.id.startswith("_"):
                    continue
                if isinstance(statement.value, ast.Call) and self.name(statement.value.func) == "auto":
                    found[target.id] = target.id.lower() if "StrEnum" in self.bases(node) else len(found) + 1
                else:
                    found[target.id] = self.constant(statement.value)
        return found

    def _member(self, node: ast.Attribute) -> Any:
        owner = self.classes.get(self.name(node.value))
        if owner is None:
            raise NotConstant
        values = self.members(owner)
        if node.attr not in values:
            raise NotConstant
        return values[node.attr]

    def _calculate(self, calculate: Callable[[Any, Any], Any], left: ast.expr, right: ast.expr) -> Any:
        first, second = self.constant(left), self.constant(right)
        if isinstance(first, str) and isinstance(second, str) and calculate is operator.add:
            return first + second
        try:
            result = calculate(self._as_number(first), self._as_number(second))
        except (ZeroDivisionError, OverflowError):
            raise NotConstant from None
        if isinstance(result, float) and not math.isfinite(result):
            raise NotConstant
        return result

    def _number(self, node: ast.expr) -> int | float:
        return self._as_number(self.constant(node))

    def _as_number(self, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NotConstant
        return value

    def _key(self, node: ast.expr | None) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        raise NotConstant

    def _read(self, body: Sequence[ast.stmt]) -> None:
        for statement in statements(body):
            match statement:
                case ast.ClassDef(name=name):
                    self.classes[name] = statement
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.functions[name] = statement
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    self._assigned[name] = value
                case ast.ImportFrom(names=names):
                    self._imported |= {alias.asname: alias.name for alias in names if alias.asname}


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module or class, with those under ``if``, ``try`` and ``with``."""
    for statement in body:
        yield statement
        match statement:
            case ast.If(body=inner, orelse=other):
                yield from statements([*inner, *other])
            case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=last):
                # What an except branch defines is a stand-in, so the try branch has the last word.
                yield from statements([line for handler in handlers for line in handler.body])
                yield from statements([*inner, *other, *last])
            case ast.With(body=inner):
                yield from statements(inner)
