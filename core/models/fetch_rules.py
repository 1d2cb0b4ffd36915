"""What may be fetched although it is private: a rule of PENSTOCK_FETCH_ALLOW."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Self

import msgspec

HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII | re.IGNORECASE)

_PLACE_AND_PORT = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<place>[^:\[\]]+))(?::(?P<port>[1-9]\d{0,4}))?", re.ASCII)
_MAX_PORT = 65_535


class FetchRule(msgspec.Struct, frozen=True, kw_only=True):
    """A network, or a host by its name. ``port``: the one that it opens; None: the web's own, 80 and 443."""

    network: IPv4Network | IPv6Network | None = None
    host: str = ""
    port: int | None = None

    @classmethod
    def parse(cls, rule: str) -> Self:
        """``host``, ``address`` or ``address/bits``, with ``:port`` behind it or not; IPv6 before a port in brackets. Raises ValueError."""
        try:
            return cls(network=ip_network(rule, strict=False))
        except ValueError:
            found = _PLACE_AND_PORT.fullmatch(rule)
        if not found:
            raise ValueError(rule)
        place, port = found["bracketed"] or found["place"], int(found["port"]) if found["port"] else None
        if port and port > _MAX_PORT:
            raise ValueError(rule)
        try:
            return cls(network=ip_network(place, strict=False), port=port)
        except ValueError:
            if found["bracketed"] or not HOST.fullmatch(place) or place.rpartition(".")[2].isdigit():
                raise
            return cls(host=place.lower(), port=port)
