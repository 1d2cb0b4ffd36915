import pytest

from core.models.outward_hosts import OutwardHost


@pytest.mark.parametrize(
    ("rule", "host", "port", "covers"),
    [
        ("a.example", "a.example", 443, True),
        ("a.example", "a.example", 80, True),
        ("a.example", "a.example", 8443, False),
        ("a.example", "b.a.example", 443, False),
        ("a.example", "a.example.evil", 443, False),
        ("A.Example.", "a.example", 443, True),
        ("a.example:8443", "a.example", 8443, True),
        ("a.example:8443", "a.example", 443, False),
        ("*.a.example", "b.a.example", 443, True),
        ("*.a.example", "c.b.a.example", 80, True),
        ("*.a.example", "a.example", 443, False),
        ("*.a.example", "evila.example", 443, False),
        ("*.a.example", "b\\.a.example", 443, False),
        ("*.a.example", f"{'b' * 64}.a.example", 443, False),
        ("*.a.example:8443", "b.a.example", 8443, True),
    ],
)
def test_what_a_rule_covers(rule: str, host: str, port: int, covers: bool) -> None:  # noqa: FBT001 - a table
    assert OutwardHost.parse(rule).covers(host, port) is covers


@pytest.mark.parametrize("rule", ["a.example", "a.example:8443", "*.a.example", "*.a.example:8443"])
def test_a_rule_is_written_as_it_is_read(rule: str) -> None:
    assert str(OutwardHost.parse(rule)) == rule
