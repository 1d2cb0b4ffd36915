"""JSON in, models out; and where it does not fit, a sentence that names the field, what was wrong with it and what is allowed."""

import codecs
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from core.errors import BadRequest
from core.json.depth import TOO_DEEP, read_bounded
from core.json.offload import offload

MAX_SHOWN = 40
MAX_EXACT = 2**53
HALF = "a string in it holds half of a surrogate pair, as a string does that was cut in the middle of an emoji"

T = TypeVar("T")

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_FAULT = re.compile(r"(?P<fault>.*?)(?: - at `(?P<key>key` in `)?\$(?P<where>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_GOT = re.compile(r"Expected `[^`]*`, got `(\w+)`")
_VALUE = re.compile(r"Invalid (?:enum )?value (.*)", re.DOTALL)
_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "bytes": "bytes",
    "float": "a number with a fraction",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a string",
}


async def parse(body: bytes, kind: type[T]) -> T:
    """A model from a body; a large one is read beside the event loop. Raises BadRequest."""
    return await offload(len(body), decode, body, kind)


def decode(body: bytes, kind: type[T]) -> T:
    """JSON as a model. Raises BadRequest."""
    if not body:
        message = "The body is empty. Send JSON."
        raise BadRequest(message)
    try:
        return read_bounded(body, lambda: _decode(body, kind))
    except RecursionError:
        message = f"The body is not JSON that can be read: {TOO_DEEP}."
        raise BadRequest(message) from None


def _decode(body: bytes, kind: type[T]) -> T:
    shape: Any = kind
    try:
        found: T = _decoder(shape)(body)
    except msgspec.ValidationError as error:
        if "got `float`" in str(error):
            return convert(_whole(msgspec.json.decode(body)), kind)
        raise invalid(error, kind, "The body") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"The body is not JSON that can be read: {_why(body) or error}."
        raise BadRequest(message) from None
    return found


def _why(body: bytes) -> str:
    """What is known of bodies that are no JSON; empty where the decoder knows best."""
    if body.startswith(_MARKS):
        return "it begins with a byte order mark. Save it as UTF-8 without one"
    return HALF if _HALF.search(body) else ""


def convert(value: Any, kind: type[T], *, strict: bool = True) -> T:
    """The same for a value that is decoded already; not ``strict``: texts stand for numbers too."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise invalid(error, kind, "What was sent", null=strict) from None


def invalid(error: msgspec.ValidationError, kind: Any, whole: str, *, null: bool = True) -> BadRequest:
    """A failure of msgspec's in our words; ``whole``: what to call it where no field is at fault; ``null``: whether that can be sent."""
    found = _FAULT.fullmatch(str(error))
    fault, where, key = (found["fault"], found["where"] or "", found["key"]) if found else (str(error), "", None)
    expected = _at(_info(kind), where)
    missing = _MISSING.fullmatch(fault)
    if missing:
        field = f"{where}.{missing[1]}".lstrip(".")
        allowed = _allowed(_at(expected, f".{missing[1]}"))
        return BadRequest(f"{field} is missing: it must be {allowed}." if allowed else f"{field} is missing.", param=field)
    field, allowed = where.lstrip("."), _allowed(expected, null=null)
    if key or not allowed:
        return BadRequest(f"{field or whole}: {fault}.", param=field or None)
    return BadRequest(f"{field or whole} must be {allowed}{_not(fault)}.", param=field or None)


def _whole(value: Any) -> Any:
    """Numbers such as 3.0 as the integers that they are, which is how JSON Schema and programs without integers see them."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= MAX_EXACT else value
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {key: _whole(item) for key, item in value.items()} if isinstance(value, dict) else value


@cache
def _decoder(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


@cache
def _info(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _not(fault: str) -> str:
    """What came instead, where that helps: a text is shown, of other things the kind is told."""
    got, value = _GOT.match(fault), _VALUE.fullmatch(fault)
    if value:
        shown = value[1] if len(value[1]) <= MAX_SHOWN else f"{value[1][:MAX_SHOWN]}…"
        return f", not {shown}"
    return f", not {_KINDS.get(got[1], got[1])}" if got else ""


def _at(kind: inspect.Type | None, where: str) -> inspect.Type | None:
    """The type of what lies at a path such as ``.messages[0].role``; None where the model does not say."""
    for name, _ in _STEP.findall(where):
        inside = [_inside(member, name) for member in _members(kind)]
        kind = next((found for found in inside if found is not None), None)
    return kind


def _inside(kind: inspect.Type | None, name: str) -> inspect.Type | None:
    if name and isinstance(kind, inspect.StructType):
        return next((field.type for field in kind.fields if field.encode_name == name), None)
    if not name and isinstance(kind, inspect.DictType):
        return kind.value_type
    if not name and isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return kind.item_type
    return None


def _members(kind: inspect.Type | None) -> Iterable[inspect.Type]:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,) if kind else ()


def _allowed(kind: inspect.Type | None, *, null: bool = True) -> str:
    """In words; empty where anything is, or nothing is known."""
    words = [_words(member) for member in _members(kind) if null or not isinstance(member, inspect.NoneType)]
    return " or ".join(dict.fromkeys(words)) if all(words) else ""


def _words(kind: inspect.Type) -> str:
    words = _WORDS.get(type(kind))
    return words(kind) if words else ""


def _one_of(values: Iterable[Any]) -> str:
    listed = [repr(value) for value in values]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    bounds = (("at least", kind.ge), ("more than", kind.gt), ("at most", kind.le), ("less than", kind.lt))
    words = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
    return f" of {words}" if words else ""


def _length(kind: inspect.StrType | inspect.ListType | inspect.VarTupleType | inspect.DictType, what: str) -> str:
    least, most = kind.min_length, kind.max_length
    if least is not None and most is not None:
        return f" of {least} to {most} {what}"
    if least is not None:
        return f" of at least {least} {what}"
    return f" of at most {most} {what}" if most is not None else ""


_WORDS: dict[type[inspect.Type], Callable[[Any], str]] = {
    inspect.NoneType: lambda _: "null",
    inspect.BoolType: lambda _: "true or false",
    inspect.IntType: lambda kind: f"a whole number{_range(kind)}",
    inspect.FloatType: lambda kind: f"a number{_range(kind)}",
    inspect.StrType: lambda kind: f"a string{_length(kind, 'characters')}" + (f" that matches {kind.pattern}" if kind.pattern else ""),
    inspect.EnumType: lambda kind: _one_of(member.value for member in kind.cls),
    inspect.LiteralType: lambda kind: _one_of(kind.values),
    inspect.ListType: lambda kind: f"a list{_length(kind, 'items')}",
    inspect.VarTupleType: lambda kind: f"a list{_length(kind, 'items')}",
    inspect.DictType: lambda kind: f"an object{_length(kind, 'fields')}",
    inspect.StructType: lambda _: "an object",
}
