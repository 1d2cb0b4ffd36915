"""What pydantic itself says of code that a test has written."""

from typing import Any

from pydantic import TypeAdapter

HEAD = """
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, IntEnum, StrEnum, auto
from typing import *
import typing as t
from uuid import UUID
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from typing_extensions import NotRequired, Required, TypedDict
"""


def run(code: str) -> dict[str, Any]:
    """The names that code leaves behind. In tests only: the product never does this."""
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(HEAD + code, "<test>", "exec", dont_inherit=True), names)  # noqa: S102
    return names


def schema(kind: Any) -> dict[str, Any]:
    """Pydantic's schema without its titles."""
    found: dict[str, Any] = untitled(TypeAdapter(kind).json_schema())
    return found


def untitled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: untitled(inner) for name, inner in value.items() if name != "title" or not isinstance(inner, str)}
    return [untitled(inner) for inner in value] if isinstance(value, list) else value
