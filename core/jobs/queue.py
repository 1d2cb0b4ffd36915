"""Putting jobs on Dramatiq's queues from an event loop, and putting those back whose worker is gone.

A message goes out as Dramatiq's own dispatch script and a publish that wakes idle consumers, in one pipeline: through
its blocking client in a thread the same cost half of a web process's share of a relayed request.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from dramatiq import Message

from core.jobs import BY_QUEUE, Job
from core.jobs.claims import LEASES_KEY, PICKUP_MS, job_key
from core.redis.client import Scripts

NAMESPACE = "dramatiq"
WAKE_CHANNEL = f"{NAMESPACE}:wake"
HEARTBEAT_TIMEOUT_MS = 10_000
DEAD_MESSAGE_TTL_MS = 86_400_000
MAX_UNPACK = 1_000
REAP_AT_ONCE = 100
SENDER = "penstock-enqueue"
SET_ASIDE = "set aside"

Offer = Callable[[str], Awaitable[bool]]  # whether somebody heard of a job, who will take it

_EXPIRED = """
local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 0, now, 'LIMIT', 0, ARGV[1])) do
  local job = redis.call('HMGET', 'job:' .. id, 'state', 'queue', 'message')
  if job[1] == 'running' or job[1] == 'queued' then
    redis.call('ZADD', KEYS[1], now + ARGV[2], id)
    redis.call('HSET', 'job:' .. id, 'state', 'queued', 'worker', '')
    found[#found + 1] = {id, job[1], job[2], job[3] or ''}
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found
"""


class JobQueue:
    """Enqueues; ``main`` reaches the jobs' database, ``broker`` Dramatiq's."""

    def __init__(self, main: Scripts, broker: Scripts) -> None:
        self._main = main
        self._broker = broker
        self._dispatch = broker.register(resources.files("dramatiq.brokers").joinpath("redis/dispatch.lua").read_text(encoding="utf-8"))
        self._expired = main.register(_EXPIRED)

    async def enqueue(self, job: Job) -> None:
        """Put a new job on its queue and wake a consumer."""
        await self._send(job, job.id, first=False)

    async def enqueue_again(self, job: Job) -> None:
        """The same for one that was enqueued before: ahead of what waits."""
        message_id = f"{job.id}.{uuid.uuid4()}"
        await self._main.command("HSET", job_key(job.id), "message", message_id)
        await self._send(job, message_id, first=True)

    async def set_aside(self, job_id: str) -> None:
        """No message of this job counts any more: where nobody claims it in time, the reaper enqueues it."""
        await self._main.command("HSET", job_key(job_id), "message", SET_ASIDE)

    async def reap(self, offer: Offer | None = None) -> list[str]:
        """Enqueue again every job whose lease ran out: its worker is gone, or its message never arrived.

        The ids of those taken from a worker; ``offer`` is asked about each of them first.
        """
        taken: list[str] = []
        for job_id, state, queue, message in await self._main.run(self._expired, (LEASES_KEY,), (REAP_AT_ONCE, PICKUP_MS)):
            kind = BY_QUEUE.get(queue.decode())
            if kind is None:
                continue
            if state == b"running":
                taken.append(job_id.decode())
                if offer and await offer(job_id.decode()):
                    continue
            elif await self._broker.command("HEXISTS", f"{NAMESPACE}:{kind.queue}.msgs", message or job_id):
                continue  # it waits its turn
            await self.enqueue_again(kind(id=job_id.decode()))
        return taken

    async def length(self, queue: str) -> int:
        """How many messages wait on a queue, fetched ones not counted."""
        return int(await self._broker.command("LLEN", f"{NAMESPACE}:{queue}"))

    async def _send(self, job: Job, message_id: str, *, first: bool) -> None:
        options = {"redis_message_id": message_id}
        message: Message[Any] = Message(queue_name=job.queue, actor_name=job.actor, args=(job.id,), kwargs={}, options=options)
        words: list[str | int] = [
            "enqueue",
            int(time.time() * 1000),
            job.queue,
            SENDER,
            HEARTBEAT_TIMEOUT_MS,
            DEAD_MESSAGE_TTL_MS,
            0,
            MAX_UNPACK,
        ]
        queue = f"{NAMESPACE}:{job.queue}"
        calls = [self._broker.run(self._dispatch, (NAMESPACE,), (*words, message_id, message.encode()))]
        if first:
            calls.append(self._broker.command("LMOVE", queue, queue, "RIGHT", "LEFT"))
        await asyncio.gather(*calls, self._broker.command("PUBLISH", WAKE_CHANNEL, job.queue))
