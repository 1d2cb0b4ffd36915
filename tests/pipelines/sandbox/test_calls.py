"""What a call gives, and that it is no other's. On each kind of isolation."""

import asyncio
import time

import pytest

from pipelines.sandbox.outcome import Limits, Reason
from pipelines.sandbox.sandbox import Sandbox
from tests.pipelines.sandbox.calls import SLEEP, call, result

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_function_gives_its_result_and_what_it_printed(sandbox: Sandbox) -> None:
    code = "import sys\ndef f(a, b=2):\n    print('out')\n    print('err', file=sys.stderr)\n    return {'sum': a + b}"
    outcome = await call(sandbox, code, a=1)
    assert result(outcome) == {"sum": 3}
    assert (outcome.stdout, outcome.stderr, outcome.isolation) == ("out\n", "err\n", sandbox.isolation)
    assert 0 < outcome.seconds < 10


@pytest.mark.parametrize(
    ("code", "function", "expected"),
    [
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 'ä'", "f", "ä"),
        ("import asyncio\nasync def f():\n    return await asyncio.to_thread(sum, [1, 2])", "f", 3),
        ("class Tools:\n    def double(self): return 4", "double", 4),
        ("class Other:\n    async def double(self): return 4", "Other.double", 4),
        ("import numpy\ndef f(): return numpy.ones(3).sum().item()", "f", 3.0),
        ("import pydantic\nclass M(pydantic.BaseModel):\n    a: int\ndef f(): return M(a='1').model_dump()", "f", {"a": 1}),
        ("from dataclasses import asdict, dataclass\n@dataclass\nclass D:\n    a: int = 1\ndef f(): return asdict(D())", "f", {"a": 1}),
        ("from zoneinfo import ZoneInfo\ndef f(): return str(ZoneInfo('Europe/Berlin'))", "f", "Europe/Berlin"),
        ("import sqlite3\ndef f(): return sqlite3.connect(':memory:').execute('select 1').fetchone()", "f", [1]),
        ("def f(): pass", "f", None),
    ],
)
async def test_what_is_run(sandbox: Sandbox, code: str, function: str, expected: object) -> None:
    assert result(await call(sandbox, code, function)) == expected


async def test_arguments_and_results_may_be_larger_than_pipes_hold(sandbox: Sandbox) -> None:
    assert result(await call(sandbox, "def f(text): return text[:900_000]", text="x" * 4_000_000)) == "x" * 900_000


async def test_an_error_is_told_with_the_users_own_lines(sandbox: Sandbox) -> None:
    failure = (await call(sandbox, "import json\n\ndef f():\n    return json.loads('{')")).failure
    assert failure is not None
    assert (failure.reason, failure.exception) == (Reason.RAISED, "JSONDecodeError")
    assert failure.traceback is not None
    assert "line 4, in f\n    return json.loads('{')" in failure.traceback
    assert "json/decoder" not in failure.traceback
    assert "runner" not in failure.traceback


async def test_a_syntax_error_names_its_line(sandbox: Sandbox) -> None:
    failure = (await call(sandbox, "def f():\n    return (")).failure
    assert failure is not None
    assert failure.exception == "SyntaxError"
    assert 'File "function.py", line 2' in (failure.traceback or "")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("object()", "object"),
        ("{'a': [{1, 2}]}", "set"),
        ("{(1, 2): 3}", "dict"),
        ("float('nan')", "float (Out of range float values are not JSON compliant)"),
    ],
)
async def test_what_is_no_json_is_named(sandbox: Sandbox, value: str, message: str) -> None:
    failure = (await call(sandbox, f"def f(): return {value}")).failure
    assert failure is not None
    assert failure.reason == Reason.UNSERIALISABLE
    assert failure.message.startswith(f"not serialisable: {message}")


async def test_a_function_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    failure = (await call(sandbox, "x = 1", "g")).failure
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.NOT_FOUND, "There is no function g in the code.")


async def test_nothing_of_a_call_is_visible_to_the_next(sandbox: Sandbox) -> None:
    poison = """
import builtins, json, os, sys
def f():
    json.dumps = builtins.open = None
    json.loads = lambda text: 'poisoned'
    sys.modules['math'] = None
    os.environ['SECRET'] = 'x'
    sys.path.insert(0, '/tmp')
    os.umask(0)
    try:
        with os.fdopen(os.open('/tmp/left-here', os.O_CREAT | os.O_WRONLY), 'w') as file: file.write('x')
    except PermissionError:
        pass
"""
    look = """
import json, math, os, sys
def f():
    files = os.path.exists('/tmp/left-here')
    return [json.loads('[1]'), open.__name__, math.pi > 3, 'SECRET' in os.environ, '/tmp' in sys.path, files]
"""
    await call(sandbox, poison)
    assert result(await call(sandbox, look)) == [[1], "open", True, False, False, False]


async def test_random_numbers_are_each_calls_own(sandbox: Sandbox) -> None:
    code = "import random, uuid, numpy\ndef f(): return [random.random(), str(uuid.uuid4()), numpy.random.random()]"
    first, second = result(await call(sandbox, code)), result(await call(sandbox, code))
    assert not set(first) & set(second)


async def test_many_calls_at_once_do_not_mix(sandbox: Sandbox) -> None:
    code = "import time\ndef f(n):\n    time.sleep(0.05)\n    print(n)\n    return n"
    outcomes = await asyncio.gather(*(call(sandbox, code, n=n) for n in range(40)))
    assert [(result(outcome), outcome.stdout) for outcome in outcomes] == [(n, f"{n}\n") for n in range(40)]


async def test_time_is_the_calls_own(sandbox: Sandbox) -> None:
    began = time.monotonic()
    outcome = await call(sandbox, SLEEP, limits=Limits(seconds=0.3))
    assert outcome.failure is not None
    assert outcome.failure.reason == Reason.TIME
    assert 0.3 <= outcome.seconds < time.monotonic() - began + 0.1


PICKLE = """
import os, pickle
class Told:
    def __reduce__(self): return os.getpid, ()
def f(by_itself):
    if by_itself:
        os.write(3, b"r" + pickle.dumps(Told()))
        os._exit(0)
    return Told()
"""


async def test_no_pickle_comes_out_of_a_call(sandbox: Sandbox) -> None:
    returned = (await call(sandbox, PICKLE, by_itself=False)).failure
    assert returned
    assert (returned.reason, returned.message) == (Reason.UNSERIALISABLE, "not serialisable: Told")
    written = (await call(sandbox, PICKLE, by_itself=True)).failure
    assert written
    assert (written.reason, written.message) == (Reason.CRASHED, "Its answer is not JSON.")
