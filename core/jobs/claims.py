"""Claims: a worker may die, or only be slow, at any token.

Dramatiq delivers at least once. A job is claimed with an epoch that only grows and a short lease; whoever holds an
older epoch is refused by the append script. A lease that runs out is queued again by any process's reaper
(core.jobs.queue). Times are Redis's own clock, so processes' clocks do not matter.

A job ends for one of three reasons that are never mixed up: finished or failed by its worker, cancelled by its user.
Handing back only queues it again. What was asked may be large: it goes with the job's end, when no worker needs it any more.
Attempts count claims that made no progress since: a job that kills its workers is given up after MAX_ATTEMPTS.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import msgspec

from core.events import events_key
from core.models import events
from core.models.events import Cancelled, Event
from core.models.generations import JobSpec, JobStatus
from core.redis.client import Scripts

MAX_ATTEMPTS = 3
KEPT_MS = 3_600_000
QUEUED_MS = 24 * 3_600_000
PICKUP_MS = 5_000
LEASES_KEY = "leases"
CANCEL_TOPIC = "cancel"

_NOW = "local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"

_SUBMIT = (
    _NOW
    + """
redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'body', ARGV[6], 'queue', ARGV[3], 'state', 'queued', 'epoch', 0, 'attempts', 0, 'handed', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[1])
return 1
"""
)

_CLAIM = (
    _NOW
    + """
local job = redis.call('HMGET', KEYS[1], 'state', 'spec', 'cancel', 'body')
if not job[1] then return {0, 'gone'} end
if job[1] == 'running' then
  local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if lease and tonumber(lease) > now then return {0, 'held'} end
elseif job[1] ~= 'queued' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {0, 'ended'}
end
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
local attempts = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
return {epoch, job[2], attempts, job[3] or '', job[4]}
"""
)

_APPEND = """
local epoch, seq, state = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if redis.call('HGET', KEYS[1], 'epoch') ~= epoch then return 0 end
for i = 7, #ARGV do
  local id = epoch .. '-' .. (seq + i - 7)
  local added = redis.pcall('XADD', KEYS[2], id, 'e', ARGV[i])
  if type(added) == 'table' and added.err then
    if not next(redis.call('XRANGE', KEYS[2], id, id)) then return 0 end
  else
    redis.call('PUBLISH', KEYS[2], id .. ' ' .. ARGV[i])
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
if state ~= '' then
  redis.call('HSET', KEYS[1], 'state', state)
  redis.call('HDEL', KEYS[1], 'body')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('ZREM', KEYS[3], ARGV[5])
elseif ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'attempts', 0)
end
return 1
"""

_RENEW = (
    _NOW
    + """
local answers = {}
for i = 2, #ARGV, 2 do
  local job = redis.call('HMGET', 'job:' .. ARGV[i], 'epoch', 'state', 'cancel')
  if job[1] == ARGV[i + 1] and job[2] == 'running' then
    redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
    answers[#answers + 1] = job[3] and 2 or 1
  else
    answers[#answers + 1] = 0
  end
end
return answers
"""
)

_HAND_BACK = (
    _NOW
    + """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] or redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued', 'worker', '', 'attempts', 0)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return 1
"""
)

_CANCEL = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'gone' end
if state == 'running' then
  redis.call('HSET', KEYS[1], 'cancel', 1)
  redis.call('PUBLISH', ARGV[4], ARGV[1])
  return 'running'
end
if state ~= 'queued' then return state end
local id = redis.call('HINCRBY', KEYS[1], 'epoch', 1) .. '-1'
redis.call('HSET', KEYS[1], 'state', 'cancelled')
redis.call('HDEL', KEYS[1], 'body')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[2], id, 'e', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PUBLISH', KEYS[2], id .. ' ' .. ARGV[2])
return 'queued'
"""


_NO_BODY = msgspec.Raw(b"null")


class Fenced(Exception):
    """Another worker has taken this job over, or it has ended: write nothing more."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write a job's log.

    ``attempt``: which claim without progress this is, from 1; ``cancelled``: its user already stopped it.
    """

    spec: JobSpec
    epoch: int
    attempt: int
    cancelled: bool


class Held(IntEnum):
    """What became of a claim when its lease was renewed."""

    LOST = 0
    KEPT = 1
    CANCELLED = 2


def job_key(job_id: str) -> str:
    """The hash with a job's spec, state and epoch."""
    return f"job:{job_id}"


class Claims:
    """The state of jobs in Redis. Every call is one script, safe to repeat after a lost answer."""

    def __init__(self, scripts: Scripts, *, lease_ms: int) -> None:
        """``lease_ms``: how long a silent worker keeps its jobs."""
        self._scripts = scripts
        self._lease_ms = lease_ms
        register = scripts.register
        self._submit, self._claim, self._append = register(_SUBMIT), register(_CLAIM), register(_APPEND)
        self._renew, self._hand_back, self._cancel = register(_RENEW), register(_HAND_BACK), register(_CANCEL)

    async def submit(self, spec: JobSpec) -> None:
        """Record a job as queued; enqueueing it is the next step, and the reaper's where this process dies before that."""
        known = msgspec.json.encode(msgspec.structs.replace(spec, body=_NO_BODY))
        args = (spec.id, known, spec.queue, QUEUED_MS, PICKUP_MS, bytes(spec.body))
        await self._scripts.run(self._submit, (job_key(spec.id), LEASES_KEY), args)

    async def claim(self, job_id: str, worker_id: str) -> Claim | None:
        """Take a queued job, or one whose lease ran out; None where another holds it or it has ended."""
        answer = await self._scripts.run(self._claim, (job_key(job_id), LEASES_KEY), (job_id, worker_id, self._lease_ms))
        if not answer[0]:
            return None
        spec = msgspec.json.decode(answer[1], type=JobSpec)
        if answer[4] is not None:  # builds before the body had a place of its own left it in the spec
            spec = msgspec.structs.replace(spec, body=msgspec.Raw(answer[4]))
        return Claim(spec=spec, epoch=answer[0], attempt=answer[2], cancelled=answer[3] == b"1")

    async def append(self, claim: Claim, seq: int, entries: Sequence[Event], *, end: JobStatus | None = None) -> None:
        """Append entries as ``seq``, ``seq + 1``, …; with ``end`` the job ends in the same step.

        Raises Fenced for a stale claim, and then nothing was written.
        """
        job_id = claim.spec.id
        progress = any(isinstance(entry, events.Delta) for entry in entries)
        args = (claim.epoch, seq, end or "", KEPT_MS, job_id, int(progress), *map(events.encode, entries))
        if not await self._scripts.run(self._append, (job_key(job_id), events_key(job_id), LEASES_KEY), args):
            raise Fenced(job_id)

    async def renew(self, claims: Sequence[Claim]) -> Mapping[str, Held]:
        """Keep the leases of running jobs; the answer says of each job id whether it is still ours and still wanted."""
        if not claims:
            return {}
        pairs = [word for claim in claims for word in (claim.spec.id, claim.epoch)]
        answers = await self._scripts.run(self._renew, (LEASES_KEY,), (self._lease_ms, *pairs))
        return {claim.spec.id: Held(answer) for claim, answer in zip(claims, answers, strict=True)}

    async def hand_back(self, claim: Claim) -> bool:
        """Give a job up as it stands; it is to be enqueued again. False where it was no longer ours."""
        args = (claim.spec.id, claim.epoch, PICKUP_MS)
        return bool(await self._scripts.run(self._hand_back, (job_key(claim.spec.id), LEASES_KEY), args))

    async def cancel(self, job_id: str) -> str:
        """Stop a job for its user.

        ``queued``: it has ended here and now; ``running``: its worker is told; otherwise how it had already ended, or
        ``gone``.
        """
        keys = (job_key(job_id), events_key(job_id), LEASES_KEY)
        answer: bytes = await self._scripts.run(self._cancel, keys, (job_id, events.encode(Cancelled()), KEPT_MS, CANCEL_TOPIC))
        return answer.decode()

    async def cancel_user(self, user_id: str) -> None:
        """Stop all jobs of a user that have not ended."""
        for job_id in await self._scripts.command("ZRANGE", LEASES_KEY, 0, -1):
            spec = await self.spec(job_id.decode())
            if spec and spec.user_id == user_id:
                await self.cancel(spec.id)

    async def spec(self, job_id: str) -> JobSpec | None:
        """A job's spec without its body, while Redis keeps it."""
        stored = await self._scripts.command("HGET", job_key(job_id), "spec")
        return msgspec.json.decode(stored, type=JobSpec) if stored else None
