"""Jobs on Dramatiq's queues: submitted in one step with their messages, fetched, acknowledged, and put back.

Messages, lists, hashes and sets in Redis are Dramatiq's own, and what its script does with them is done here for many at once. Each queue
has a namespace of its own, whose name is its hash tag (core.redis.keys); a message's id is its job's, so that a message put back twice is
one message. What Dramatiq leaves to be wished, and how little that would be there: docs/decisions/0012.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from dramatiq import Message

from core.jobs import KINDS, Repeat
from core.jobs.compaction import decode_spec
from core.models import events
from core.models.events import Event
from core.models.jobs import JobSpec
from core.redis.client import Scripts
from core.redis.connection import Argument
from core.redis.keys import QUEUES, batch_keys, events_key, in_hand_key, job_key, messages_key, submitting_key, waiting_key

SCANNED = 1_000

_RECORD = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'spec', ARGV[1], 'input', ARGV[2], 'unfinished_ms', ARGV[3], 'state', 'queued', 'epoch', 0, 'deaths', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'once', 1) end
if ARGV[5] ~= '' then
  redis.call('XADD', KEYS[2], '0-1', 'e', ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  redis.call('PUBLISH', KEYS[2], '0-1 ' .. ARGV[5])
end
"""
_ENQUEUE = """
local id, message, first, topic, queue = unpack(ARGV, #ARGV - 4)
if redis.call('HSETNX', KEYS[#KEYS], id, message) == 1 then
  redis.call(first == '1' and 'LPUSH' or 'RPUSH', KEYS[#KEYS - 1], id)
end
redis.call('PUBLISH', topic, queue)
"""
_NAME = "redis.call('SADD', KEYS[3], ARGV[#ARGV])"
_BEGIN = "return redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])"
_BEGUN_BEFORE = "return redis.call('ZRANGEBYSCORE', KEYS[1], 0, redis.call('TIME')[1] - ARGV[1])"
_COMPLETE = "redis.call('ZREM', KEYS[1], ARGV[1])" + _ENQUEUE
_EXCHANGE = """
for i = 2, #ARGV do
  if redis.call('SREM', KEYS[1], ARGV[i]) == 1 then redis.call('HDEL', KEYS[3], ARGV[i]) end
end
local fetched = {}
for i = 1, tonumber(ARGV[1]) do
  local id = redis.call('LPOP', KEYS[2])
  if not id then break end
  redis.call('SADD', KEYS[1], id)
  fetched[i] = redis.call('HGET', KEYS[3], id)
end
return fetched
"""
_WAIT_AGAIN = """
local id, message, first, topic, queue = unpack(ARGV)
if KEYS[4] ~= KEYS[3] then redis.call('HDEL', KEYS[4], id) end
redis.call('HSET', KEYS[3], id, message)
redis.call(first == '1' and 'LPUSH' or 'RPUSH', KEYS[2], id)
redis.call('PUBLISH', topic, queue)
"""
_PUT_BACK = "if redis.call('SREM', KEYS[1], ARGV[1]) == 0 then return end" + _WAIT_AGAIN
_MOVE = "if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return end" + _WAIT_AGAIN
_DROP = "if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('HDEL', KEYS[2], ARGV[1]) end return 1"
_NAME_WHEN_FULL = "redis.call('SREM', KEYS[1], '') return redis.call('SADD', KEYS[1], ARGV[1])"  # as core.jobs.claim_scripts appends
_FORGET = "if redis.call('SREM', KEYS[1], ARGV[1]) == 1 then redis.call('HDEL', KEYS[2], ARGV[1]) end return 1"


def wake_topic(queue: str) -> str:
    """Where it is told that something waits on a queue: one topic a pool."""
    return f"wake:{queue.partition('.')[0]}"


class JobQueue:
    """The queues of all jobs."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        register = scripts.register
        self._submit, self._record = register(_RECORD + _NAME + _ENQUEUE), register(_RECORD)
        self._begin, self._begun_before, self._complete = register(_BEGIN), register(_BEGUN_BEFORE), register(_COMPLETE)
        self._exchange, self._put_back, self._move = register(_EXCHANGE), register(_PUT_BACK), register(_MOVE)
        self._drop, self._forget, self._name = register(_DROP), register(_FORGET), register(_NAME_WHEN_FULL)

    async def submit(self, spec: JobSpec, asked: bytes = b"", *, notice: Event | None = None) -> None:
        """Record a job and put it on its queue, in one step; ``asked``: its input; ``notice``: the log's first entry.

        On a Cluster, where a job and its queue may lie on two nodes, in several, which the reaper completes.
        """
        kind, keys = KINDS[spec.kind], (waiting_key(spec.queue), messages_key(spec.queue))
        once = int(kind.repeat is Repeat.ONCE)
        record = (msgspec.json.encode(spec), asked, kind.unfinished_s * 1000, once, events.encode(notice) if notice else b"")
        job = (job_key(spec.id), events_key(spec.id))
        if await self._scripts.together(*job, QUEUES, *keys):
            message = _waiting(spec, spec.queue, first=spec.priority > 0)
            await self._scripts.run(self._submit, (*job, QUEUES, *keys), (*record, *message))
            return
        known = self._scripts.command("SADD", QUEUES, spec.queue)
        await asyncio.gather(known, self._scripts.run(self._begin, (submitting_key(spec.queue),), (spec.id,)))
        await self._scripts.run(self._record, job, record)
        await self.complete(spec, spec.id, spec.queue)

    async def fetch(self, queue: str, worker_id: str, places: int, done: Sequence[str] = ()) -> list[Message[Any]]:
        """Messages that were first in line, at most ``places``; ``done``: ids of those that are acknowledged on the way."""
        keys = (in_hand_key(queue, worker_id), waiting_key(queue), messages_key(queue))
        fetched = await self._scripts.run(self._exchange, keys, (places, *done))
        return [_decode(data) for data in fetched if data]

    async def put_back(self, spec: JobSpec, queue: str, *, onto: str | None = None, worker_id: str, first: bool = True) -> None:
        """Let a message that a worker has in hand wait again, ``onto`` a queue of the same jobs, and first there unless told otherwise.

        Where the worker has it no longer, nothing happens.
        """
        onto = onto or queue
        if onto != queue:
            await self._scripts.run(self._name, (QUEUES,), (onto,))
        keys = (in_hand_key(queue, worker_id), waiting_key(onto), messages_key(onto), messages_key(queue))
        await self._scripts.run(self._put_back, keys, _waiting(spec, onto, first=first))

    async def move(self, spec: JobSpec, queue: str, onto: str) -> None:
        """Let a message that waits on one queue wait on another of the same jobs."""
        keys = (waiting_key(queue), waiting_key(onto), messages_key(onto), messages_key(queue))
        await self._scripts.run(self._move, keys, _waiting(spec, onto, first=True))

    async def drop(self, job_id: str, queue: str) -> None:
        """A message that waits counts no more."""
        await self._scripts.run(self._drop, (waiting_key(queue), messages_key(queue)), (job_id,))

    async def forget(self, job_id: str, queue: str, worker_id: str) -> None:
        """A message in a worker's hands counts no more."""
        await self._scripts.run(self._forget, (in_hand_key(queue, worker_id), messages_key(queue)), (job_id,))

    async def in_hand(self, queue: str, worker_id: str) -> set[str]:
        """Ids of jobs whose messages a worker was given and has not acknowledged."""
        return {job_id.decode() for job_id in await self._scripts.command("SMEMBERS", in_hand_key(queue, worker_id))}

    async def lengths(self, queues: Sequence[str]) -> list[int]:
        """How many messages wait on each queue."""
        return [int(length) for length in await asyncio.gather(*(self._scripts.command("LLEN", waiting_key(queue)) for queue in queues))]

    async def queues(self) -> list[str]:
        """All queues that were ever used, in the order of their names."""
        return sorted(queue.decode() for queue in await self._scripts.command("SMEMBERS", QUEUES))

    async def waiting(self, queue: str, limit: int) -> list[str]:
        """Ids of the jobs that are first in line."""
        return [job_id.decode() for job_id in await self._scripts.command("LRANGE", waiting_key(queue), 0, limit - 1)]

    async def unfinished(self, queue: str) -> list[str]:
        """Ids of all jobs of a queue that wait or are in somebody's hands."""
        found: set[str] = set()
        cursor: bytes | int = b"0"
        while True:
            cursor, page = await self._scripts.command("HSCAN", messages_key(queue), cursor, "COUNT", SCANNED)
            found.update(job_id.decode() for job_id in page[::2])
            if cursor == b"0":
                return sorted(found)

    async def half_submitted(self, queue: str, older_s: float) -> list[str]:
        """On a Cluster: ids of jobs whose submission was begun so long ago and not ended."""
        return [job_id.decode() for job_id in await self._scripts.run(self._begun_before, (submitting_key(queue),), (older_s,))]

    async def complete(self, spec: JobSpec | None, job_id: str, queue: str) -> None:
        """End a submission that somebody began; ``spec``: the job's, where it was recorded."""
        if spec:
            keys = (submitting_key(queue), waiting_key(queue), messages_key(queue))
            await self._scripts.run(self._complete, keys, (job_id, *_waiting(spec, queue, first=spec.priority > 0)))
        else:
            await self._scripts.command("ZREM", submitting_key(queue), job_id)

    async def submit_next(self, ended: JobSpec) -> None:
        """After the end of a batch's job, on a Cluster: put on their queues what it has recorded. Elsewhere that was one step."""
        if ended.parent and not await self._scripts.together(job_key(ended.parent), waiting_key(ended.queue)):
            await self.complete_batch(ended.parent)

    async def complete_batch(self, batch_id: str) -> None:
        """Put on their queues the jobs of a batch that are recorded and not yet there."""
        submitting = batch_keys(batch_id)[5]
        for child_id in await self._scripts.command("LRANGE", submitting, 0, -1):
            stored = await self._scripts.command("HGET", job_key(child_id.decode()), "spec")
            if stored:
                spec = decode_spec(stored)  # of one that is stopped by now, too
                await self.complete(spec, spec.id, spec.queue)
            await self._scripts.command("LREM", submitting, 1, child_id)


def _waiting(spec: JobSpec, queue: str, *, first: bool) -> tuple[Argument, ...]:
    """What the scripts that let a message wait are given of it."""
    return spec.id, _message(spec, queue), int(first), wake_topic(queue), queue


def message_tail(kind: str, queue: str) -> bytes:
    """A message behind what names its job: scripts that make jobs write that before it (core.jobs.batch_scripts)."""
    return b'"message_timestamp":%d,%s' % (time.time() * 1000, _constants(kind, queue))


def _message(spec: JobSpec, queue: str) -> bytes:
    """As Dramatiq writes it, which would take a tenth of a web process's part of a job."""
    named = msgspec.json.encode(spec.id)
    return b'{"args":[%s],"message_id":%s,"options":{"redis_message_id":%s},%s' % (named, named, named, message_tail(spec.kind, queue))


def _decode(data: bytes) -> Message[Any]:
    fields = msgspec.json.decode(data)
    return Message(**{**fields, "args": tuple(fields["args"])})


@cache
def _constants(kind: str, queue: str) -> bytes:
    """What is the same in all messages of a queue."""
    fields = msgspec.json.decode(Message(queue_name=queue, actor_name=kind, args=(), kwargs={}, options={}).encode())
    return msgspec.json.encode({name: fields[name] for name in fields.keys() - {"args", "message_id", "message_timestamp", "options"}})[1:]
