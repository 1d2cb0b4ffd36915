"""Who is at the other end: the client itself, also where trusted proxies stand between.

Source: RFC 7239 (``Forwarded``), and the ``X-Forwarded-For``, ``-Proto`` and ``-Host`` that it grew out of.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

IPV6_PREFIX = 64
SCHEMES = frozenset({"http", "https"})

Headers = CIMultiDict[str] | CIMultiDictProxy[str]

_HOST = re.compile(r"[\w.-]{1,253}(:\d{1,5})?|\[[0-9a-f:.]{2,45}\](:\d{1,5})?", re.ASCII | re.IGNORECASE)
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\w*)?|([^:]*):\w*", re.ASCII)


def client_address(request: web.BaseRequest) -> str:
    """What a client is counted by: its IPv4 address, or its IPv6 network of 64 bits, which is what one customer has. Empty: not known."""
    found = _address(request.remote or "")
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found), IPV6_PREFIX), strict=False))
    return str(found or "")


class ForwardedClient(NamedTuple):
    """What a trusted proxy saw of the client; None: it does not say."""

    remote: str
    scheme: str | None = None
    host: str | None = None


class Proxies:
    """The addresses whose word is believed."""

    def __init__(self, trusted: Iterable[str]) -> None:
        """``trusted``: addresses and networks. Raises ValueError for what is neither."""
        self._networks = tuple(ip_network(one, strict=False) for one in trusted)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def find_client(self, peer: str, headers: Headers) -> ForwardedClient | None:
        """The client, as the proxy at ``peer`` tells; None where nobody trusts that one.

        The first address from the right that is no proxy of ours is the client: what stands left of it anybody can write there.
        """
        address = _address(peer)
        if address is None or not self._trusts(address):
            return None
        hops = _x_forwarded(headers) or _forwarded(headers)
        place, client = 0, address
        for index, hop in enumerate(reversed(hops)):
            found = _address(hop.get("for", ""))
            if found is None:
                break
            place, client = index, found
            if not self._trusts(found):
                break
        told = hops[-1 - place] if hops else {}
        scheme, host = told.get("proto", "").lower(), told.get("host", "")
        return ForwardedClient(str(client), scheme if scheme in SCHEMES else None, host if _HOST.fullmatch(host) else None)

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _x_forwarded(headers: Headers) -> list[dict[str, str]]:
    """One hop for each address in ``X-Forwarded-For``. Where there are fewer schemes or hosts, the leftmost stands for the rest."""
    addresses, schemes, hosts = (_listed(headers, f"X-Forwarded-{name}") for name in ("For", "Proto", "Host"))
    count = len(addresses) or int(bool(schemes or hosts))
    return [
        {"for": _at(addresses, place), "proto": _at(schemes, place), "host": _at(hosts, place)}  # from the right
        for place in reversed(range(count))
    ]


def _forwarded(headers: Headers) -> list[dict[str, str]]:
    """One hop for each element of ``Forwarded``: addresses and names hold no comma, also where they are quoted."""
    hops = []
    for element in _listed(headers, "Forwarded"):
        pairs = (pair.partition("=") for pair in element.split(";"))
        hops.append({name.strip().lower(): value.strip().strip('"') for name, _, value in pairs})
    return hops


def _listed(headers: Headers, name: str) -> list[str]:
    return [part.strip() for part in ",".join(headers.getall(name, ())).split(",") if part.strip()]


def _at(values: list[str], place: int) -> str:
    """Counted from the right; the leftmost where there are fewer."""
    return values[max(-len(values), -1 - place)] if values else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, perhaps with a port; an IPv4 address in an IPv6 one is the IPv4 one."""
    with_port = _WITH_PORT.fullmatch(text)
    try:
        found = ip_address((with_port[1] or with_port[2]) if with_port else text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
