"""Batches: a job of many items, each of which goes through the same steps; a bounded number of them at a time.

Each step of an item is a job like any other, of the kind that the step names, with the item as its payload: a worker does not know that it
works for a batch. The batch itself is done by nobody. It has one log (progress at a bounded rate, then ``finished``) and its counters; an
item that is given up counts as failed and holds up nothing. What happens at a job's end is one script with it: core.jobs.batch_scripts.
"""

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from core.jobs import KINDS, Repeat
from core.jobs.batch_scripts import ADVANCE
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue, message_tail, wake_topic
from core.models.batches import BatchStatus, BatchStep
from core.models.jobs import JobSpec
from core.redis.client import Scripts
from core.redis.keys import BATCHES, QUEUES, batch_keys, job_key, messages_key, waiting_key

ITEMS_AT_ONCE = 500
FORGOTTEN_S = 60.0

_START = (
    ADVANCE
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'spec', ARGV[1], 'state', 'running', 'batch', 1, 'epoch', 1, 'deaths', 0)
redis.call('HSET', KEYS[3], 'begun', 0, 'completed', 0, 'failed', 0, unpack(ARGV, 2))
local of = redis.call('HMGET', KEYS[3], 'total', 'in_flight', 'unfinished_ms')
for i = 1, math.min(of[1], of[2]) do submit_child(KEYS, redis.call('HINCRBY', KEYS[3], 'begun', 1), 1, 1) end
for i = 1, 6 do redis.call('PEXPIRE', KEYS[i], of[3]) end
tell(KEYS)
return 1
"""
)
_LOSE = (
    ADVANCE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then advance({unpack(KEYS, 2)}, ARGV[1], 'failed', true) end
return 1
"""
)


class Batches:
    """All batches."""

    def __init__(self, scripts: Scripts, claims: Claims, queue: JobQueue) -> None:
        self._scripts = scripts
        self._claims = claims
        self._queue = queue
        self._start, self._lose = scripts.register(_START), scripts.register(_LOSE)

    async def start(self, parent: JobSpec, steps: Sequence[BatchStep], items: Iterable[Any], *, in_flight: int) -> None:
        """Begin a batch, unless it is begun. ``items``: payloads, small; ``in_flight``: how many are jobs at a time.

        Raises ValueError where there is no step, or nothing may be in flight.
        """
        if not steps or in_flight < 1:
            message = "a batch needs at least one step, and at least one item in flight"
            raise ValueError(message)
        if await self._claims.state(parent.id):
            return
        keys, total = batch_keys(parent.id), 0
        lasts_ms = KINDS[parent.kind].unfinished_s * 1000
        left = iter(items)
        while some := list(islice(left, ITEMS_AT_ONCE)):
            words = [word for number, item in enumerate(some, total + 1) for word in (number, msgspec.json.encode(item))]
            await self._scripts.command("HSET", keys[3], *words)
            await self._scripts.command("PEXPIRE", keys[3], lasts_ms)
            total += len(some)
        queues = [step.queue for step in steps]
        together = await self._scripts.together(*keys, *map(waiting_key, queues), *map(messages_key, queues))
        fields: dict[str, Any] = {
            "id": parent.id,
            "total": total,
            "in_flight": in_flight,
            "steps": len(steps),
            "priority": int(parent.priority > 0),
            "together": int(together),
            "unfinished_ms": lasts_ms,
            "ended_ms": KINDS[parent.kind].ended_s * 1000,
        }
        for number, step in enumerate(steps, 1):
            fields |= {f"{name}:{number}": value for name, value in _fields(parent, step).items()}
        await self._scripts.command("SADD", QUEUES, *queues)
        await self._scripts.command("ZADD", BATCHES, time.time(), parent.id)
        named = [word for field in fields.items() for word in field]
        await self._scripts.run(self._start, keys, (msgspec.json.encode(parent), *named))
        await self._queue.complete_batch(parent.id)

    async def status(self, batch_id: str) -> BatchStatus | None:
        """How far a batch is; None for one that Redis does not know, or knows no more."""
        keys = batch_keys(batch_id)
        total, begun, completed, failed = await self._scripts.command("HMGET", keys[2], "total", "begun", "completed", "failed")
        if total is None:
            return None
        flight = await self._scripts.command("HGETALL", keys[4])
        in_flight = {int(number): job_id.decode() for number, job_id in zip(flight[::2], flight[1::2], strict=True)}
        return BatchStatus(total=int(total), begun=int(begun), completed=int(completed), failed=int(failed), in_flight=in_flight)

    async def mend(self) -> None:
        """Submit what a process that died left half submitted, and jobs that Redis forgot because they waited for too long."""
        for found in await self._scripts.command("ZRANGE", BATCHES, 0, -1):
            batch_id = found.decode()
            await self._queue.complete_batch(batch_id)
            status = await self.status(batch_id)
            for job_id in status.in_flight.values() if status else ():
                await self._scripts.run(self._lose, (job_key(job_id), *batch_keys(batch_id)), (job_id,))
            if await self._claims.state(batch_id) != "running":
                await self._forget(batch_id)

    async def _forget(self, batch_id: str) -> None:
        """One that has ended; one that is just being started is none."""
        begun_at = await self._scripts.command("ZSCORE", BATCHES, batch_id)
        if begun_at and time.time() - float(begun_at) > FORGOTTEN_S:
            await self._scripts.command("ZREM", BATCHES, batch_id)


def _fields(parent: JobSpec, step: BatchStep) -> dict[str, Any]:
    """What the scripts need to know of a step to make jobs of it."""
    kind = KINDS[step.kind]
    spec = msgspec.structs.replace(parent, kind=step.kind, queue=step.queue, parent=parent.id)
    named = msgspec.to_builtins(spec)
    shared = {name: value for name, value in named.items() if name not in {"id", "payload"}}
    return {
        "attempts": step.attempts,
        "spec": msgspec.json.encode(shared)[1:],
        "message": message_tail(step.kind, step.queue),
        "once": int(kind.repeat is Repeat.ONCE),
        "unfinished_ms": kind.unfinished_s * 1000,
        "queue": step.queue,
        "waiting": waiting_key(step.queue),
        "messages": messages_key(step.queue),
        "wake": wake_topic(step.queue),
    }
