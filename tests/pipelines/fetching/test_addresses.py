"""What kind of place an address is, whatever this version of Python thinks."""

import pytest

from pipelines.fetching.addresses import Place, find_place, read, unwrap

PLACES = {
    Place.PUBLIC: ("1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"),
    Place.LOOPBACK: ("127.0.0.1", "127.255.255.254", "::1"),
    Place.PRIVATE: (
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "fd00::1",
        "fc00::1",
        "fec0::1",
        "64:ff9b:1::1",
    ),
    Place.LINK_LOCAL: ("169.254.1.1", "fe80::1", "fe80::1%eth0", "febf::1"),
    Place.MULTICAST: ("224.0.0.1", "224.0.1.1", "239.255.255.250", "ff02::1", "ff0e::1"),
    Place.RESERVED: (
        "0.0.0.0",  # noqa: S104 - an address that is refused
        "0.1.2.3",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::127.0.0.1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
    ),
    Place.METADATA: ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
}


@pytest.mark.parametrize(("place", "text"), [(place, text) for place, texts in PLACES.items() for text in texts])
def test_a_place_is_told_by_its_address(place: Place, text: str) -> None:
    address = read(text)
    assert address is not None
    assert find_place(unwrap(address)) is place


@pytest.mark.parametrize("form", ["::ffff:{}", "64:ff9b::{}", "2002:{six}::1"])
@pytest.mark.parametrize(
    ("inside", "place"),
    [
        ("127.0.0.1", Place.LOOPBACK),
        ("10.1.2.3", Place.PRIVATE),
        ("169.254.169.254", Place.METADATA),
        ("224.0.0.1", Place.MULTICAST),
        ("8.8.8.8", Place.PUBLIC),
    ],
)
def test_an_ipv4_address_inside_of_an_ipv6_one_is_what_counts(form: str, inside: str, place: Place) -> None:
    parts = [int(part) for part in inside.split(".")]
    address = read(form.format(inside, six=f"{parts[0]:02x}{parts[1]:02x}:{parts[2]:02x}{parts[3]:02x}"))
    assert address is not None
    assert str(unwrap(address)) == inside
    assert find_place(unwrap(address)) is place


@pytest.mark.parametrize("text", ["", "host", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "1.2.3.4.5", "[::1]"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert read(text) is None
