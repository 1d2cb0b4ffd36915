import asyncio

from aiohttp import web

from api.http.keys import ORPHANED_COMPLETIONS
from core.redis.keys import job_key
from core.services import Services
from tests.api.conftest import Client
from tests.api.manual_jobs import ManualJob, claim_next
from tests.api.openai.test_completions import ASK, PATHS
from tests.polling import until


async def test_a_plain_answer_whose_client_left_is_stopped_after_a_while(bob: Client, services: Services, app: web.Application) -> None:
    app[ORPHANED_COMPLETIONS]._grace_s = 0.2
    for stream in (True, False):
        asked = asyncio.create_task(bob.post(PATHS[0], ASK | {"stream": stream}))
        making = await claim_next(services)
        await making.say("a")
        asked.cancel()

        async def cancelled(making: ManualJob = making) -> bool:
            await making.say("more")
            return await services.redis.hget(job_key(making.spec.id), "cancel") == b"1"

        await until(cancelled, "the answer is stopped")


async def test_a_plain_answer_whose_client_left_goes_on_while_somebody_listens(
    bob: Client, services: Services, app: web.Application
) -> None:
    app[ORPHANED_COMPLETIONS]._grace_s = 0.2
    asked = asyncio.create_task(bob.post(PATHS[0], ASK | {"stream": True}))
    making = await claim_next(services)
    await making.say("a")
    async with bob.session.get(f"{bob.url}/api/generations/{making.claim.spec.id}/events", headers=bob.headers) as events:
        asked.cancel()

        async def noticed() -> bool:
            await making.say("more")
            return bool(app[ORPHANED_COMPLETIONS]._watches)

        await until(noticed, "the loss is noticed")
        (watch,) = app[ORPHANED_COMPLETIONS]._watches
        await asyncio.wait([watch], timeout=1)
        assert not watch.done()
        await making.finish()
        assert b"finished" in await events.read()
    await asyncio.wait_for(watch, 5)
