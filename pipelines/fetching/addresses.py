"""What kind of place an IP address is. Written out, because Python's ``is_global`` means something else from version to version.

Sources: IANA's registries of special-purpose addresses (RFC 6890); RFC 6052 and RFC 3056 for IPv4 addresses inside of IPv6 ones.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address


class Place(StrEnum):
    """As messages call it."""

    PUBLIC = "a public"
    METADATA = "a cloud metadata"
    LOOPBACK = "a loopback"
    LINK_LOCAL = "a link-local"
    PRIVATE = "a private"
    MULTICAST = "a multicast"
    RESERVED = "a reserved"


_NETWORKS = {
    # First: they lie inside of others, and are given out to nobody.
    Place.METADATA: """
        169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 169.254.0.23/32 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32
        fd00:ec2::/32 fd20:ce::254/128
    """,
    Place.LOOPBACK: "127.0.0.0/8 ::1/128",
    Place.LINK_LOCAL: "169.254.0.0/16 fe80::/10",
    Place.PRIVATE: "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fec0::/10 64:ff9b:1::/48",
    Place.MULTICAST: "224.0.0.0/4 ff00::/8",
    Place.RESERVED: """
        0.0.0.0/8 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
        2001::/23 2001:db8::/32 3fff::/20
    """,
}
_PLACES = tuple((ip_network(network), place) for place, networks in _NETWORKS.items() for network in networks.split())
_UNICAST = IPv6Network("2000::/3")  # all of IPv6 that is given out
_NAT64 = IPv6Network("64:ff9b::/96")
_LAST_32_BITS = 0xFFFF_FFFF


def read(text: str) -> Address | None:
    """The address that a text is, without an interface; None for what is none."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def unwrap(address: Address) -> Address:
    """The IPv4 address that is meant by an IPv6 one: mapped, translated (NAT64) or tunnelled (6to4). Else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & _LAST_32_BITS)
    return address.ipv4_mapped or address.sixtofour or address


def find_place(address: Address) -> Place:
    """Of an address that has been unwrapped."""
    for network, place in _PLACES:
        if address in network:
            return place
    return Place.PUBLIC if address.version == 4 or address in _UNICAST else Place.RESERVED  # noqa: PLR2004 - a version
