from gpu.spans import Span, padded, running_spans


def test_lengths_are_rounded_up_to_blocks_of_64() -> None:
    assert [padded(length) for length in (1, 63, 64, 65, 512)] == [64, 64, 64, 128, 512]


def test_neighbouring_rows_of_about_one_length_attend_together() -> None:
    assert running_spans([0, 1, 2], [10, 100, 70]) == [Span(0, 3, 0, 128)]


def test_a_gap_between_rows_parts_them() -> None:
    assert running_spans([0, 2, 3], [10, 10, 10]) == [Span(0, 1, 0, 64), Span(1, 3, 2, 64)]


def test_a_long_row_does_not_make_the_short_ones_long() -> None:
    assert running_spans([0, 1, 2, 3], [10, 4000, 10, 10]) == [Span(0, 1, 0, 64), Span(1, 2, 1, 4032), Span(2, 4, 2, 64)]


def test_nothing_runs() -> None:
    assert running_spans([], []) == []
