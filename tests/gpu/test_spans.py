from gpu.spans import Run, Span, padded, spans_of


def test_lengths_are_rounded_up_to_blocks_of_64() -> None:
    assert [padded(length) for length in (1, 63, 64, 65, 512)] == [64, 64, 64, 128, 512]


def test_neighbouring_rows_of_one_padded_length_attend_together() -> None:
    assert spans_of([Run(0, 1, 0, 9), Run(1, 2, 1, 63), Run(2, 3, 2, 0)]) == [Span(0, 3, 0, 64)]


def test_nobody_is_padded_to_a_neighbours_length() -> None:
    assert spans_of([Run(0, 1, 0, 63), Run(1, 2, 1, 64), Run(2, 3, 2, 70)]) == [Span(0, 1, 0, 64), Span(1, 3, 1, 128)]


def test_a_gap_between_rows_parts_them() -> None:
    assert spans_of([Run(0, 1, 0, 9), Run(1, 2, 2, 9), Run(2, 3, 3, 9)]) == [Span(0, 1, 0, 64), Span(1, 3, 2, 64)]


def test_a_piece_of_a_prompt_is_cut_where_blocks_end() -> None:
    assert spans_of([Run(0, 1, 2, 9), Run(1, 101, 3, 60)]) == [
        Span(0, 1, 2, 64),
        Span(1, 5, 3, 64, shared=True),
        Span(5, 69, 3, 128, shared=True),
        Span(69, 101, 3, 192, shared=True),
    ]


def test_nothing_runs() -> None:
    assert spans_of([]) == []
