"""A user's jobs."""

from core.jobs.claims import Claims
from core.jobs.queue import JobQueue


async def cancel_user(claims: Claims, queue: JobQueue, user_id: str) -> None:
    """Stop all jobs of a user that have not ended."""
    for name in await queue.queues():
        for job_id in await queue.unfinished(name):
            spec = await claims.spec(job_id)
            if spec and spec.owner == user_id:
                await claims.cancel(spec.parent or job_id)
