import subprocess
import sys
from pathlib import Path

from gpu.config import EngineConfig
from gpu.prefix_cache import Copy
from gpu.scheduler import Scheduler, Work
from gpu.sequence import Sequence
from tests.gpu.sequences import like, sequence

ROOT = Path(__file__).parent.parent.parent


def scheduler(*, rows: int = 8, prefill: int = 100, cache_tokens: int = 10_000) -> Scheduler:
    return Scheduler(EngineConfig(rows=rows, first_prefill=prefill, cache_tokens=cache_tokens))


def run(plan: list[Work]) -> None:
    """What a step does to its sequences."""
    for work in plan:
        completes = work.completes
        work.sequence.computed = work.stop
        if completes:
            work.sequence.accept(7)


def sizes(plan: list[Work]) -> list[int]:
    return [work.stop - work.start for work in plan]


def running(made: Scheduler, *lengths: int) -> list[Sequence]:
    """Sequences of these lengths whose prompts have been computed."""
    sequences = [sequence(length) for length in lengths]
    for each in sequences:
        made.add(each)
    while any(each.pending > 1 or each.row is None for each in sequences):
        run(made.plan())
    return sequences


def test_it_needs_no_torch() -> None:
    code = "import sys, gpu.scheduler, gpu.requests, gpu.sources, gpu.environment; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_idle_one_plans_nothing() -> None:
    made = scheduler()
    assert (made.plan(), made.busy) == ([], False)


def test_every_running_answer_is_served_in_every_step() -> None:
    made = scheduler()
    running(made, 5, 6, 7)
    made.add(sequence(500))
    for _ in range(4):
        plan = made.plan()
        assert sizes(plan)[:3] == [1, 1, 1]
        run(plan)


def test_a_long_prompt_is_cut_into_pieces() -> None:
    made = scheduler(prefill=100)
    running(made, 5, 5)
    made.add(sequence(250))
    plans = []
    for _ in range(3):
        plans.append(sizes(made.plan()))
        run(made.plan())
    assert plans == [[1, 1, 100], [1, 1, 100], [1, 1, 50]]


def test_a_short_newcomer_is_not_held_up_by_a_long_prompt() -> None:
    made = scheduler(prefill=100)
    running(made, 5, 5, 5, 5)
    long, short = sequence(900), sequence(40)
    made.add(long)
    run(made.plan())
    made.add(short)
    plan = made.plan()
    assert {work.sequence: work.stop - work.start for work in plan if not work.is_single} == {short: 40, long: 60}


def test_the_oldest_prompt_always_gets_half() -> None:
    made = scheduler(prefill=100)
    running(made, 5, 5, 5, 5)
    long = sequence(900)
    for each in (long, sequence(60), sequence(60)):
        made.add(each)
    assert {work.sequence: work.stop - work.start for work in made.plan()}[long] >= 50


def test_a_prompt_that_fits_a_step_is_not_cut() -> None:
    made = scheduler(prefill=100)
    running(made, 5, 5, 5, 5)
    for length in (60, 70):
        made.add(sequence(length))
    assert sizes(made.plan()) == [1, 1, 1, 1, 60]


def test_where_many_wait_and_few_run_a_step_takes_more_of_them() -> None:
    made = scheduler(prefill=100)
    for _ in range(4):
        made.add(sequence(100))
    assert sizes(made.plan()) == [100] * 4


def test_more_than_there_are_rows_wait_their_turn() -> None:
    made = scheduler(rows=2)
    first, second, third = (sequence(5) for _ in range(3))
    for each in (first, second, third):
        made.add(each)
    run(made.plan())
    assert third.row is None
    freed = first.row
    first.cancelled = True
    made.sweep()
    made.plan()
    assert third.row == freed


def test_what_is_cancelled_while_it_waits_never_runs() -> None:
    made = scheduler(rows=1)
    for each in (sequence(5), cancelled := sequence(5)):
        made.add(each)
    run(made.plan())
    cancelled.cancelled = True
    made.sweep()
    assert list(made.waiting) == []


def test_when_the_cache_is_full_the_youngest_waits_and_begins_again_later() -> None:
    made = scheduler(rows=4, cache_tokens=60)
    old, young = running(made, 20, 30)
    while young.row is not None:
        run(made.plan())
    assert old.row is not None
    assert (young.computed, made.waiting[0]) == (0, young)
    emitted = list(young.ids)
    old.cancelled = True
    made.sweep()
    run(made.plan())
    assert young.row is not None
    assert young.ids[:-1] == emitted


def test_choices_of_one_prompt_compute_it_once() -> None:
    made = scheduler(prefill=1000)
    choices = [like([5] * 200) for _ in range(4)]
    for each in choices:
        made.add(each)
    plan = made.plan()
    assert [work.sequence for work in plan] == choices[:1], "the others wait for it"
    run(plan)
    plan = made.plan()
    assert sizes(plan) == [1, 1, 1, 1]
    assert made.copies == [Copy(0, row, 199) for row in (1, 2, 3)]


def test_a_prompt_that_begins_like_a_running_one_computes_the_rest_only() -> None:
    made = scheduler(prefill=1000)
    made.add(like([1] * 50 + [2] * 50))
    run(made.plan())
    made.add(like([1] * 50 + [3] * 50))
    assert sizes(made.plan()) == [1, 50]
    assert made.copies == [Copy(0, 1, 50)]


def test_a_chat_that_goes_on_finds_its_row_again() -> None:
    made = scheduler(prefill=1000)
    first = like([1] * 300)
    made.add(first)
    for _ in range(3):
        run(made.plan())
    first.cancelled = True
    made.sweep()
    made.add(like([*first.ids, *[9] * 40]))
    (work,) = made.plan()
    assert (work.row, work.start, work.stop) == (0, 302, 343)
    assert (made.copies, made.released) == ([], [])


def test_what_free_rows_hold_gives_way_when_the_cache_is_full() -> None:
    made = scheduler(prefill=1000, cache_tokens=400)
    old = like([1] * 300)
    made.add(old)
    run(made.plan())
    old.cancelled = True
    made.sweep()
    made.add(sequence(200))
    made.plan()
    assert set(made.released) == {0}


def test_a_follower_of_one_that_was_cancelled_begins_by_itself() -> None:
    made = scheduler(prefill=100)
    leader, follower = like([1] * 500), like([1] * 500)
    for each in (leader, follower):
        made.add(each)
    leader.cancelled = True
    made.sweep()
    assert [work.sequence for work in made.plan()] == [follower]


def test_prompts_get_as_many_tokens_as_fit_the_time_of_a_step() -> None:
    made = scheduler(prefill=200)
    made.add(sequence(5000))
    plan = made.plan()
    for _ in range(20):
        made.observe(plan, seconds=4.0)
    assert 64 <= made.prefill_tokens < 120, "slow: the half second that a step may take fits about 100"
    for _ in range(20):
        made.observe(plan, seconds=0.01)
    assert made.prefill_tokens == 2048
