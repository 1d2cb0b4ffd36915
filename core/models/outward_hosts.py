"""Hosts that a function may reach: one rule of its list."""

import re
from typing import Self

import msgspec

from core.models.fetch_rules import HOST

MAX_RULE = 260
WEB_PORTS = frozenset({80, 443})

_ANY_BELOW = "*."
_RULE = re.compile(r"(?P<name>[^:]+)(?::(?P<port>[1-9]\d{0,4}))?", re.ASCII)
_MAX_PORT = 65_535


class OutwardHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host by its name in small letters. ``below``: all hosts below that name, and not itself. ``port``: None for the web's."""

    name: str
    below: bool = False
    port: int | None = None

    @classmethod
    def parse(cls, rule: str) -> Self:
        """``host`` or ``*.domain``, with ``:port`` behind it or not; no address of numbers. Raises ValueError."""
        found = _RULE.fullmatch(rule.strip().lower())
        if not found:
            raise ValueError(rule)
        name, port = found["name"], int(found["port"]) if found["port"] else None
        below = name.startswith(_ANY_BELOW)
        name = name.removeprefix(_ANY_BELOW).removesuffix(".")
        first, _, last = name.rpartition(".")
        if not HOST.fullmatch(name) or last.isdigit() or (below and not first) or (port or 0) > _MAX_PORT:
            raise ValueError(rule)
        return cls(name=name, below=below, port=port)

    def __str__(self) -> str:
        return f"{_ANY_BELOW if self.below else ''}{self.name}{f':{self.port}' if self.port else ''}"

    def covers(self, host: str, port: int) -> bool:
        """Whether it lets reach a port of a host, whose name is in small letters."""
        named = host.endswith(f".{self.name}") and bool(HOST.fullmatch(host)) if self.below else host == self.name
        return named and (port == self.port if self.port else port in WEB_PORTS)
