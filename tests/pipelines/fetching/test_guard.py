"""What may not be fetched, each with a message that says what to do."""

import pytest

from core.errors import BadRequest
from core.settings import Settings
from pipelines.fetching.fetcher import parse
from pipelines.fetching.guard import Guard

PUBLIC = "93.184.215.14"


def guard(*allow: str, only: tuple[str, ...] = ()) -> Guard:
    return Guard(Settings(fetch_allow=allow, fetch_only=only))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://example.com/", "begin with http:// or https://"),
        ("file:///etc/passwd", "begin with http:// or https://"),
        ("javascript:alert(1)", "begin with http:// or https://"),
        ("//example.com/", "begin with http:// or https://"),
        ("http:///path", "begin with http:// or https://"),
        ("", "begin with http:// or https://"),
        ("http://[::1", "no address that can be fetched"),
        ("http://example.com:port/", "no address that can be fetched"),
        ("http://ann:s3cret@example.com/", "Leave them out"),
        ("http://ann@example.com/", "Leave them out"),
        ("http://:s3cret@example.com/", "Leave them out"),
        ("http://127.0.0.1/", "at a loopback address, and only public ones are fetched"),
        ("http://127.0.0.1./", "at a loopback address"),
        ("http://①②⑦.0.0.1/", "at a loopback address"),
        ("http://127。0。0。1/", "at a loopback address"),
        ("https://[::1]/", "at a loopback address"),
        ("http://[::ffff:127.0.0.1]/", "at a loopback address"),
        ("http://[64:ff9b::10.0.0.1]/", "at a private address"),
        ("http://[2002:c0a8:101::1]/", "at a private address"),
        ("http://10.0.0.1/", "PENSTOCK_FETCH_ALLOW"),
        ("http://[fe80::1%25eth0]/", "at a link-local address"),
        ("http://224.0.1.1/", "at a multicast address"),
        ("http://0.0.0.0/", "at a reserved address"),
        ("http://169.254.169.254/latest/meta-data/", "at a cloud metadata address, which is never fetched"),
        ("http://127.1/", "Write it with four numbers"),
        ("http://2130706433/", "Write it with four numbers"),
        ("http://0x7f000001/", "Write it with four numbers"),
        ("http://0177.0.0.1/", "Write it with four numbers"),
        ("http://0x7f.0x0.0x0.0x1./", "Write it with four numbers"),
        (f"http://{PUBLIC}:8080/", rf"not fetched on port 8080\..*allow {PUBLIC}:8080 in PENSTOCK_FETCH_ALLOW"),
        ("http://[2606:4700::1111]:25/", r"allow \[2606:4700::1111\]:25 in"),
        (f"http://{PUBLIC}:0/", "not fetched on port 0"),
    ],
)
def test_what_may_not_be_fetched_is_refused_with_what_to_do(address: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as refused:
        guard().check(parse(address))
    assert "s3cret" not in refused.value.detail


@pytest.mark.parametrize(
    "address", [f"http://{PUBLIC}/a?b", "HTTPS://Example.COM./", "http://example.com:443/", " https://[2606:4700::1111] "]
)
def test_what_is_on_the_web_may_be_fetched(address: str) -> None:
    guard().check(parse(address))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (["127.0.0.1"], "wiki is at a loopback address"),
        (["10.9.8.7", "fd00::1"], "wiki is at a private address"),
        (["::ffff:169.254.169.254"], "wiki is at a cloud metadata address"),
        ([], "wiki has no address"),
        (["nonsense"], "cannot be read"),
    ],
)
def test_a_name_of_such_an_address_is_refused_without_telling_it(found: list[str], words: str) -> None:
    with pytest.raises(BadRequest, match=words) as refused:
        guard().choose("wiki", 443, found)
    assert not any(address in refused.value.detail for address in found)


def test_of_several_addresses_those_remain_that_may_be_asked() -> None:
    assert guard().choose("mixed", 80, ["10.0.0.1", PUBLIC, "::1", "2606:4700::1111"]) == [PUBLIC, "2606:4700::1111"]


@pytest.mark.parametrize(
    ("rule", "host", "port", "address"),
    [
        ("wiki.lan", "wiki.lan", 443, "10.1.2.3"),
        ("Wiki.LAN", "wiki.lan", 80, "fd00::7"),
        ("wiki.lan:8443", "wiki.lan", 8443, "10.1.2.3"),
        ("10.0.0.0/8", "wiki.lan", 80, "10.1.2.3"),
        ("10.1.2.3", "wiki.lan", 80, "10.1.2.3"),
        ("10.0.0.0/8:8080", "wiki.lan", 8080, "10.1.2.3"),
        ("10.0.0.0/8", "wiki.lan", 80, "::ffff:10.1.2.3"),
        ("64:ff9b:1::/48", "wiki.lan", 80, "64:ff9b:1::5"),
        ("[fd00::/8]:8080", "wiki.lan", 8080, "fd00::7"),
        ("example.com:8443", "example.com", 8443, PUBLIC),
        ("example.com:8443", "example.com", 443, PUBLIC),
    ],
)
def test_what_is_allowed_may_be_fetched(rule: str, host: str, port: int, address: str) -> None:
    assert guard(rule).choose(host, port, [address]) == [address]


@pytest.mark.parametrize(
    ("rule", "host", "port", "address", "words"),
    [
        ("wiki.lan", "other.lan", 443, "10.1.2.3", "private"),
        ("wiki.lan", "sub.wiki.lan", 443, "10.1.2.3", "private"),
        ("wiki.lan", "wiki.lan", 8443, "10.1.2.3", "port 8443"),
        ("wiki.lan:8443", "wiki.lan", 443, "10.1.2.3", "port 443"),
        ("10.0.0.0/16", "wiki.lan", 443, "10.1.2.3", "private"),
        ("169.254.0.0/16", "wiki.lan", 80, "169.254.169.254", "never"),
        ("wiki.lan", "wiki.lan", 80, "169.254.169.254", "never"),
        ("example.com:8443", "example.org", 8443, PUBLIC, "port 8443"),
    ],
)
def test_what_is_allowed_opens_nothing_else(rule: str, host: str, port: int, address: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        guard(rule).choose(host, port, [address])


def test_where_hosts_are_named_only_these_are_fetched() -> None:
    named = guard(only=("docs.example.com", "*.example.org"))
    for address in ("https://docs.example.com/", "https://DOCS.example.com./", "https://a.example.org/", "https://a.b.example.org/"):
        named.check(parse(address))
    for address in (
        "https://example.com/",
        "https://evil-docs.example.com/",
        "https://example.org/",
        "https://badexample.org/",
        f"http://{PUBLIC}/",
    ):
        with pytest.raises(BadRequest, match="PENSTOCK_FETCH_ONLY"):
            named.check(parse(address))
