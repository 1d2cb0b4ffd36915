"""What a job gives that is too large for its log: kept beside it for as long as somebody may come for it."""

from core.events import events_key
from core.jobs.claims import job_key
from core.redis.client import Scripts

KEPT_MS = 300_000


class Results:
    """Bytes by job id. A job is made again as often as it must be, so putting twice is as good as once."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def put(self, job_id: str, data: bytes) -> None:
        """Before the job's log says that it has finished."""
        await self._scripts.command("SET", _key(job_id), data, "PX", KEPT_MS)

    async def get(self, job_id: str) -> bytes | None:
        """What was put; None where it is not there any more."""
        found: bytes | None = await self._scripts.command("GET", _key(job_id))
        return found

    async def forget(self, job_id: str) -> None:
        """All of a job that has ended: nobody will ask again."""
        await self._scripts.command("UNLINK", _key(job_id), job_key(job_id), events_key(job_id))


def _key(job_id: str) -> str:
    return f"job:{job_id}:result"
