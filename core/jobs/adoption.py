"""Jobs that the build before left in Redis are taken over as they stand.

Its keys had no hash tags, its queues lay in the next database, and a spec held everything. A set of leases named all that had not ended:
whoever of that build still lives keeps it up to date, so what has lapsed there is nobody's. A log goes on, and its epoch with it.
"""

import msgspec

from core.jobs import GENERATE, KINDS, PULL, Repeat, queue_of
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.models.generations import GenerationSpec
from core.models.jobs import JobSpec
from core.models.pools import Pool
from core.redis.client import Scripts
from core.redis.keys import events_key, job_key

LEASES = "leases"
_KINDS = {"gpu.generate": GENERATE[Pool.GPU], "relay.generate": GENERATE[Pool.RELAY], "cpu.pull": PULL}

_LAPSED = "local time = redis.call('TIME') return redis.call('ZRANGEBYSCORE', KEYS[1], 0, time[1] * 1000)"
_ADOPT = """
local job = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'cancel')
if job[1] ~= 'queued' and job[1] ~= 'running' then return 0 end
redis.call('HSET', KEYS[3], 'spec', ARGV[1], 'input', ARGV[2], 'unfinished_ms', ARGV[3], 'state', 'queued', 'epoch', job[2], 'deaths', 0)
if ARGV[4] == '1' then redis.call('HSET', KEYS[3], 'once', 1) end
if job[3] then redis.call('HSET', KEYS[3], 'cancel', 1) end
redis.call('PEXPIRE', KEYS[3], ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('RENAME', KEYS[2], KEYS[4])
  redis.call('PEXPIRE', KEYS[4], ARGV[3])
end
redis.call('DEL', KEYS[1])
return 1
"""


class _Old(msgspec.Struct, frozen=True):
    """What a spec held beside what a generation's still holds; ``body``: in builds even before."""

    id: str
    user_id: str
    queue: str
    created_at: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    request_id: str = ""


class Adoption:
    """Several processes at once do no harm, nor does one that dies in the middle. On a Cluster no build before has left anything."""

    def __init__(self, scripts: Scripts, claims: Claims, queue: JobQueue) -> None:
        self._scripts = scripts
        self._claims = claims
        self._queue = queue
        self._lapsed, self._adopt = scripts.register(_LAPSED), scripts.register(_ADOPT)

    async def run(self) -> bool:
        """Take over what is nobody's; whether nothing is left of the build before."""
        for member in await self._scripts.run(self._lapsed, (LEASES,)):
            job_id = member.decode()
            await self._take_over(job_id)
            if spec := await self._claims.spec(job_id):
                await self._queue.complete(spec, job_id, spec.queue)
            await self._scripts.command("ZREM", LEASES, job_id)
        return not await self._scripts.command("EXISTS", LEASES)

    async def _take_over(self, job_id: str) -> None:
        """Vectors that a request waited for are not: it is gone."""
        job, log = f"job:{job_id}", f"job:{job_id}:events"
        stored, body = await self._scripts.command("HMGET", job, "spec", "body")
        old = msgspec.json.decode(stored, type=_Old) if stored else None
        if old and old.queue in _KINDS:
            spec = _spec(old, stored)
            kind = KINDS[spec.kind]
            args = (msgspec.json.encode(spec), body or bytes(old.body), kind.unfinished_s * 1000, int(kind.repeat is Repeat.ONCE))
            await self._scripts.run(self._adopt, (job, log, job_key(job_id), events_key(job_id)), args)


def _spec(old: _Old, stored: bytes) -> JobSpec:
    kind, payload, model = _KINDS[old.queue], b"{}", ""
    if kind != PULL:
        generation = msgspec.json.decode(stored, type=GenerationSpec)
        payload, model = msgspec.json.encode(generation), generation.served
    return JobSpec(
        id=old.id,
        kind=kind,
        queue=queue_of(kind, model),
        owner=old.user_id,
        created_at=old.created_at,
        payload=msgspec.Raw(payload),
        request_id=old.request_id,
    )
