"""Limits on documents."""

import time

import pytest
from graphql import get_introspection_query, parse

from schema.limits import MAX_ALIASES, MAX_DEPTH, MAX_FIELDS, excess

REJECTED_WITHIN_S = 0.2


def nested(levels: int) -> str:
    """A document that deep."""
    return "{ a" * levels + " }" * levels


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (nested(MAX_DEPTH), nested(MAX_DEPTH + 1)),
        (f"{{ {' '.join(f'a{n}: b' for n in range(MAX_ALIASES))} }}", f"{{ {' '.join(f'a{n}: b' for n in range(MAX_ALIASES + 1))} }}"),
        ("{ " + "a " * MAX_FIELDS + "}", "{ " + "a " * (MAX_FIELDS + 1) + "}"),
    ],
    ids=["depth", "aliases", "fields"],
)
def test_a_limit_is_reached_but_not_passed(allowed: str, refused: str) -> None:
    assert excess(parse(allowed)) is None
    assert excess(parse(refused)) is not None


def test_what_fragments_hold_is_counted_wherever_they_are_spread() -> None:
    assert excess(parse("{ ...F } fragment F on Query " + nested(MAX_DEPTH))) is None
    assert excess(parse("{ a { ...F } } fragment F on Query " + nested(MAX_DEPTH))) is not None


def test_fragments_that_double_one_another_are_measured_at_once() -> None:
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(100))
    document = parse(f"{{ ...F0 }} {chain} fragment F100 on Query {{ a }}")
    began = time.perf_counter()
    assert excess(document) is not None
    assert time.perf_counter() - began < REJECTED_WITHIN_S


def test_a_fragment_within_itself_ends() -> None:
    assert excess(parse("{ ...F } fragment F on Query { a { ...F } }")) is None


def test_introspection_fits() -> None:
    assert excess(parse(get_introspection_query(input_value_deprecation=True, schema_description=True))) is None
