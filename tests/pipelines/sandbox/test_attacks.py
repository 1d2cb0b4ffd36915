"""Every attack fails for its cause and for no other, and the next call is right: on each kind of isolation that this machine gives."""

import pytest

from pipelines.sandbox.attacks import Attack, attempt, cause
from pipelines.sandbox.outcome import Isolation
from pipelines.sandbox.sandbox import Sandbox
from tests.pipelines.sandbox.attacks_files import FILES
from tests.pipelines.sandbox.attacks_kernel import KERNEL
from tests.pipelines.sandbox.attacks_processes import PROCESSES
from tests.pipelines.sandbox.attacks_resources import RESOURCES, THREADS

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTACKS = (*FILES, *PROCESSES, *KERNEL, *RESOURCES)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "_"))
async def test_an_attack_fails_for_its_cause(sandbox: Sandbox, attack: Attack) -> None:
    zygote = sandbox._zygote
    outcome = await attempt(sandbox, attack)
    found = cause(outcome)
    assert attack.denied(sandbox.isolation, found), (found, attack.expected(sandbox.isolation), outcome.failure)
    assert outcome.isolation == sandbox.isolation
    after = await sandbox.call(code="def f(a): return a + 1", function="f", arguments={"a": 1})
    assert cause(after) == 2
    assert sandbox._zygote is zygote
    assert zygote.alive


async def test_threads_are_counted(sandbox: Sandbox) -> None:
    if sandbox.isolation != Isolation.BUBBLEWRAP:
        pytest.skip("by Landlock alone, memory bounds them")
    assert cause(await attempt(sandbox, THREADS)) == THREADS.limits.threads
