"""Functions: users' Python that workers run, for people and for models."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from core.models.knowledge import AccessControl
from core.models.outward_hosts import MAX_RULE

MAX_CONTENT = 262_144
MAX_HOSTS = 64

Schema = dict[str, Any]
FunctionName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Hosts = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=MAX_RULE)], ...], msgspec.Meta(max_length=MAX_HOSTS)]
"""What a function may reach: ``example.org``, ``*.example.org``, with ``:port`` behind it or not (then 80 and 443)."""
Content = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CONTENT)]


class FunctionKind(StrEnum):
    """What the code holds: one plain function, or one of Open WebUI's classes."""

    FUNCTION = "function"
    TOOLS = "tools"
    FILTER = "filter"
    PIPE = "pipe"
    ACTION = "action"


class FunctionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What can be called. ``parameters``: the JSON Schema of its arguments, an object.

    ``injected``: the parameters that the product fills in itself, such as ``__user__``; no schema tells of them.
    """

    name: str
    description: str = ""
    parameters: Schema
    injected: tuple[str, ...] = ()
    is_async: bool = False


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What the code says of itself. ``manifest``: its frontmatter; ``valves``, ``user_valves``: JSON Schemas of its settings.

    In these a field with ``"secret": true`` is kept encrypted.
    """

    kind: FunctionKind
    entries: tuple[FunctionEntry, ...]
    manifest: dict[str, str] = {}
    valves: Schema | None = None
    user_valves: Schema | None = None


class FunctionMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What its author says of it."""

    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function as it is now. Times are Unix seconds.

    ``version``: counts from 1 whenever the code changes; ``version_id``: where that code is kept for as long as a call may need it.
    ``is_active``: it may be called; ``is_global``: by everybody. ``access_control``: by whom else, and who may change it.
    ``hosts``: what calls of it may reach, whichever version they run; none if it is empty.
    """

    id: str
    user_id: str
    name: str
    type: FunctionKind
    content: str
    definition: Definition
    meta: FunctionMeta = FunctionMeta()
    access_control: AccessControl = AccessControl()
    hosts: tuple[str, ...] = ()
    is_active: bool = True
    is_global: bool = False
    version: int = 1
    version_id: str
    created_at: int
    updated_at: int


class FunctionVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A function's code as it was once written, never changed. ``user_id``: who wrote it; ``number``: which one it is."""

    id: str
    function_id: str
    number: int
    content: str
    definition: Definition
    user_id: str
    created_at: int


class CreateFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A new function. ``type``: what the code holds says it; ``function`` stands for whatever that is."""

    name: FunctionName
    type: FunctionKind = FunctionKind.FUNCTION
    content: Content
    meta: FunctionMeta = FunctionMeta()
    access_control: AccessControl = AccessControl()
    hosts: Hosts = ()


class UpdateFunction(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a function; what is left out stays. Another ``content`` makes another version."""

    id: str
    name: FunctionName | UnsetType = UNSET
    content: Content | UnsetType = UNSET
    meta: FunctionMeta | UnsetType = UNSET
    access_control: AccessControl | UnsetType = UNSET
    hosts: Hosts | UnsetType = UNSET


class ValveValues(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a function, or of one user for it (``user_id``; empty for the function's own). ``secrets``: names of secret ones."""

    id: str
    function_id: str
    user_id: str = ""
    values: dict[str, Any] = {}
    secrets: tuple[str, ...] = ()


class SealedValves(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: that of the values beside it; ``sealed``: the secret ones, encrypted; empty where there are none."""

    id: str
    sealed: str = ""
