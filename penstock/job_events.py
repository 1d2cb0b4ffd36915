"""A job followed by its events to its end, however often the connection breaks, and whatever stands between."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from core.errors import RateLimited, Unavailable
from penstock.server import Job, JobEvent, Server

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 15.0
ENDS = {"finished", "failed", "cancelled"}


async def follow(server: Server, job_id: str, heard: Callable[[JobEvent], None]) -> Job:
    """The job, once it has ended; ``heard`` is given each of its events once. Raises what ``Server.job`` does.

    Wherever its stream ends the job itself is asked for: a log may be gone, or end before what was lost from the job is done again, and a
    proxy may let no event through.
    """
    after, pause_s, is_open = "", FIRST_PAUSE_S, True
    while True:
        if is_open:
            try:
                async with aclosing(server.events(job_id, after)) as events:
                    async for event in events:
                        heard(event)
                        after, pause_s, is_open = event.id, FIRST_PAUSE_S, event.type not in ENDS
            except (RateLimited, Unavailable):
                pass  # for how long, the next question tells
        job = await server.job(job_id)
        if job.status.ended:
            return job
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)
