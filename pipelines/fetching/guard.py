"""What may be fetched: by its address as it is written, and by the addresses that its host's name has."""

import re
from collections.abc import Iterable

from yarl import URL

from core.errors import BadRequest
from core.models.fetch_rules import FetchRule
from core.settings import Settings
from pipelines.fetching.addresses import Place, find_place, read, unwrap

SCHEMES = frozenset({"http", "https"})
PORTS = frozenset({80, 443})
ALLOW = "PENSTOCK_FETCH_ALLOW"

_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)


class Guard:
    """By PENSTOCK_FETCH_ALLOW and PENSTOCK_FETCH_ONLY. What may not be fetched raises BadRequest, which says what to do."""

    def __init__(self, settings: Settings) -> None:
        self._rules = tuple(FetchRule.parse(rule) for rule in settings.fetch_allow)
        self._only = tuple(host.lower() for host in settings.fetch_only)

    def check(self, url: URL) -> None:
        """All that can be said before its host's name is looked up."""
        if url.scheme not in SCHEMES or not url.raw_host:
            message = "Only addresses that begin with http:// or https:// and a host are fetched. Give one of these."
            raise BadRequest(message)
        host, port = plain_host(url), url.port or 0
        if url.raw_user is not None or url.raw_password is not None:
            message = f"The address of {host} has a user or a password in it, and such are not fetched. Leave them out."
            raise BadRequest(message)
        if self._only and not any(_matches(host, wanted) for wanted in self._only):
            message = f"{host} is not among the hosts that may be fetched here. An administrator may name it in PENSTOCK_FETCH_ONLY."
            raise BadRequest(message)
        address = read(host)
        if address is None and _NUMBER.fullmatch(host.rpartition(".")[2]):
            message = f"{host} is no host's name, and no address as it is usually written. Write it with four numbers."
            raise BadRequest(message)
        if address is not None:
            self.choose(host, port, (host,))

    def choose(self, host: str, port: int, addresses: Iterable[str], ports: frozenset[int] = PORTS) -> list[str]:
        """Those of a host's addresses that may be connected to; at least one. ``ports``: what public addresses may be asked on."""
        chosen, refusal = [], ""
        for text in addresses:
            fault = self._find_fault(host, port, text, ports)
            refusal = refusal or fault
            if not fault:
                chosen.append(text)
        if not chosen:
            raise BadRequest(refusal or f"{host} has no address. Look at how it is written.")
        return chosen

    def _find_fault(self, host: str, port: int, text: str, ports: frozenset[int]) -> str:
        written = read(text)
        if written is None:
            return f"{host} has an address that cannot be read. Look at how it is written."
        address = unwrap(written)
        place = find_place(address)
        rules = [
            rule for rule in self._rules if rule.host == host or (rule.network and (address in rule.network or written in rule.network))
        ]
        if place is Place.METADATA:
            return f"{host} is at {place} address, which is never fetched. Give an address on the web."
        if place is not Place.PUBLIC and not rules:
            return (
                f"{host} is at {place} address, and only public ones are fetched. Give an address on the web; an administrator may allow"
                f" this one in {ALLOW}."
            )
        if any(port == rule.port or (rule.port is None and port in PORTS) for rule in rules):
            return ""
        return "" if place is Place.PUBLIC and port in ports else _refuse_port(host, port)


def plain_host(url: URL) -> str:
    """As names are looked up: in small letters, without a dot behind."""
    return (url.raw_host or "").lower().rstrip(".")


def _matches(host: str, wanted: str) -> bool:
    return host.endswith(wanted[1:]) if wanted.startswith("*.") else host == wanted


def _refuse_port(host: str, port: int) -> str:
    rule = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{host} is not fetched on port {port}. Give an address without it; an administrator may allow {rule} in {ALLOW}."
