"""What Redis keeps of a job that has ended: its spec, how it ended, and its log, in one hash and few bytes.

A stream takes 4 kB for its first entry alone, and an entry of a log is small. Readers find an ended log in the hash, with the same entries
and ids (core.events).
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from core.errors import Unavailable
from core.events import whole_log
from core.events.whole_log import Entry
from core.jobs.batch_scripts import ADVANCE
from core.models import events
from core.models.jobs import JobSpec, JobStatus
from core.redis.client import Scripts
from core.redis.keys import batch_keys, events_key, is_in_batch, job_key

FENCED, MORE_BEFORE = -1, -2

# Deleting comes first: so a Redis whose memory is full lets it pass (core.jobs.claim_scripts).
_KEEP = """
local function first_id()
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  return first and first[1]
end
local function keep(first, kept_ms, ...)
  redis.call('DEL', KEYS[1])
  if first then redis.call('UNLINK', KEYS[2]) end
  redis.call('HSET', KEYS[1], ...)
  redis.call('PEXPIRE', KEYS[1], kept_ms)
end
"""

_FINISH = (
    ADVANCE
    + _KEEP
    + """
local job = redis.call('HMGET', KEYS[1], 'claim', 'state', 'worker', 'epoch', 'deaths')
if job[1] ~= ARGV[1] then return -1 end
if job[2] == 'running' then
  local first = first_id()
  if first and first ~= ARGV[4] then return -2 end
  for i = 9, #ARGV, 2 do redis.call('PUBLISH', KEYS[2], ARGV[i] .. ' ' .. ARGV[i + 1]) end
  local worker, epoch, deaths = unpack(job, 3)
  keep(first, ARGV[3], 'state', ARGV[2], 'claim', ARGV[1], 'spec', ARGV[5], 'log', ARGV[6],
    'worker', worker, 'epoch', epoch, 'deaths', deaths)
  if KEYS[3] then advance({unpack(KEYS, 3)}, ARGV[7], ARGV[2], ARGV[8] == '1') end
end
return 1
"""
)

_COMPACT = (
    _KEEP
    + """
local state, kept_ms, first = redis.call('HGET', KEYS[1], 'state'), redis.call('PTTL', KEYS[1]), first_id()
if not first or not state or state == 'queued' or state == 'running' then return end
keep(first, kept_ms, 'state', state, 'spec', ARGV[1], 'log', ARGV[2])
"""
)


class JobEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a running job ends.

    ``log``: its last entries, of which ``told`` are not new; what is before them is read where there is anything. ``again``: a step of a
    batch is worth another attempt.
    """

    status: JobStatus
    log: Sequence[Entry]
    told: int
    kept_s: int
    again: bool


class Compaction:
    """Of jobs that end."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._finish, self._compact = scripts.register(_FINISH), scripts.register(_COMPACT)

    async def finish(self, spec: JobSpec, nonce: str, end: JobEnd) -> bool:
        """End a running job: tell its readers what is new, keep the whole log, and go on with its batch; False for a stale claim."""
        news = [word for entry_id, event in end.log[end.told :] for word in (entry_id, events.encode(event))]
        keys = (job_key(spec.id), events_key(spec.id), *(batch_keys(spec.id) if is_in_batch(spec.id) else ()))
        before: list[Entry] = []
        while True:
            whole = [*before, *end.log]
            kept = (end.kept_s * 1000, whole[0][0], _encode_spec(spec), await whole_log.encode(whole))
            args = (nonce, str(end.status), *kept, spec.id, int(end.again), *news)
            answer: int = await self._scripts.run(self._finish, keys, args)
            if answer != MORE_BEFORE:
                return answer != FENCED
            before = await self._read(spec.id, f"({end.log[0][0]}")

    async def compact(self, spec: JobSpec) -> None:
        """What has ended while it waited, and does not change any more. Where Redis is away it stays as it is until it expires."""
        with suppress(Unavailable):
            log = await self._read(spec.id, "+")
            await self._scripts.run(
                self._compact, (job_key(spec.id), events_key(spec.id)), (_encode_spec(spec), await whole_log.encode(log))
            )

    async def _read(self, job_id: str, to: str) -> list[Entry]:
        entries = await self._scripts.command("XRANGE", events_key(job_id), "-", to)
        return [(entry_id.decode(), events.decode(payload)) for entry_id, (_, payload) in entries]


def decode_spec(stored: bytes) -> JobSpec:
    """A job's spec, whether it has ended or not."""
    return msgspec.json.decode(whole_log.inflate(stored), type=JobSpec)


def _encode_spec(spec: JobSpec) -> bytes:
    return whole_log.deflate(msgspec.json.encode(spec))
