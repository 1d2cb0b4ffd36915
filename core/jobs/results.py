"""What a job gives that is too large for its log: kept beside it for as long as somebody may come for it."""

from core.redis.client import Scripts
from core.redis.keys import events_key, job_key, result_key

KEPT_MS = 300_000


class Results:
    """Bytes by job id. A job is made again as often as it must be, so putting twice is as good as once."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def put(self, job_id: str, data: bytes) -> None:
        """Before the job's log says that it has finished."""
        await self._scripts.command("SET", result_key(job_id), data, "PX", KEPT_MS)

    async def get(self, job_id: str) -> bytes | None:
        """What was put; None where it is not there any more."""
        found: bytes | None = await self._scripts.command("GET", result_key(job_id))
        return found

    async def forget(self, job_id: str) -> None:
        """All of a job that has ended: nobody will ask again."""
        await self._scripts.command("UNLINK", result_key(job_id), job_key(job_id), events_key(job_id))
