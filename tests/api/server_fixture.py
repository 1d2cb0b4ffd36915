"""A running product with the people and things that its routes are called for: made quickly, as many as are needed."""

import asyncio
import base64
import itertools
import time
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import jwt
import msgspec

from core.jobs import CALL_FUNCTION, PARSE, PULL, SEARCH_WEB, queue_of, queues_of
from core.models.catalog import Model
from core.models.completions import Usage
from core.models.events import Finished
from core.models.function_calls import FunctionOutcome
from core.models.jobs import JobStatus
from core.models.pools import Pool
from core.models.pulls import StartPull
from core.models.users import Credentials, Role, User
from core.models.web_search import WebPage
from core.redis.keys import messages_key, waiting_key
from core.services import Services
from core.storage import users
from tests.api.conftest import Client
from tests.api.manual_jobs import REPLIES, ManualJob, claim_next
from tests.core.services.people import ADMIN
from tests.polling import until
from tests.serving_models import WORKER, report_worker

PASSWORD = "secure_password"
PIXEL = base64.b64decode("R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")
EMBED = Model(id="embed", name="Embed", owned_by="penstock", created=1_700_000_000, pool=Pool.GPU)
FOUND = [WebPage(title="AI news", link="https://news.example.com/ai", snippet="What happened in AI this week.")]
CALLED = FunctionOutcome(result=msgspec.Raw(b'"In Oslo the sun shines."'), duration=0.0031, isolation="bubblewrap")
WORK = {
    REPLIES: "generate",
    **dict.fromkeys(queues_of("embed_texts", (EMBED.id,)), "embed"),
    queue_of(PULL): "pull",
    queue_of(SEARCH_WEB): "search",
    queue_of(CALL_FUNCTION): "call",
    queue_of(PARSE): "parse",
}


class ServerFixture:
    """``visitor``: nobody in particular."""

    def __init__(self, services: Services, visitor: Client, password_hash: str) -> None:
        self.services = services
        self.visitor = visitor
        self._password_hash = password_hash
        self._numbers = itertools.count(1)

    @classmethod
    async def of(cls, services: Services, visitor: Client) -> "ServerFixture":
        """With one password for all, because hashing takes long."""
        server = cls(services, visitor, await services.users._passwords.hash(PASSWORD))
        await server.person(Role.ADMIN, "First")
        await server.attend()
        return server

    async def attend(self) -> None:
        """Every pool has a worker that lives."""
        for pool in Pool:
            await report_worker(self.services, f"{WORKER}-{pool}", pool)

    async def person(self, role: Role, name: str = "Somebody") -> Client:
        """Somebody new, signed in."""
        number, now = next(self._numbers), int(time.time())
        user = User(
            id=f"00000000-0000-4000-8000-{number:012}",
            name=name,
            email=f"{name.lower()}.{number}@example.com",
            role=role,
            created_at=now,
            updated_at=now,
            last_active_at=now,
        )
        await self.services.users._rows.add(user, Credentials(id=user.id, password_hash=self._password_hash))
        token, _ = self.services.users._tokens.issue(user.id)
        return Client(self.visitor.url, self.visitor.session, {"id": user.id, "email": user.email, "name": name}, token)

    async def gone(self) -> Client:
        """Somebody who was deleted; their token says nothing of that."""
        client = await self.person(Role.USER)
        await self.services.records.delete(users.COLLECTION, {"_id": client.user["id"]})
        return client

    def with_token(self, client: Client, token: str) -> Client:
        """The same with another token."""
        return Client(client.url, client.session, client.user, token)

    def expired(self, client: Client) -> Client:
        """The same, too late."""
        claims = {"id": client.user["id"], "exp": int(time.time()) - 1, "jti": "x", "epoch": 0}
        return self.with_token(client, jwt.encode(claims, self.services.settings.secret_key, "HS256"))

    async def chat(self, owner: Client) -> str:
        """A chat with two messages."""
        messages = [{"id": "m1", "role": "user", "content": "Hello!"}, {"id": "m2", "role": "assistant", "content": "Hi! How can I help?"}]
        return await owner.chat("My Chat", messages=messages)

    async def shared(self, owner: Client) -> str:
        """A shared chat's share id."""
        reply = await owner.post(f"/api/chats/{await self.chat(owner)}/share", {})
        share_id: str = reply.body["share_id"]
        return share_id

    async def model(self, owner: Client) -> str:
        """A custom model."""
        number = next(self._numbers)
        body = {"name": f"my-custom-model-{number}", "base_model": "echo", "params": {"system": "You are a helpful assistant."}}
        reply = await owner.post("/api/models/create", body)
        assert reply.status == 201, reply
        model_id: str = reply.body["id"]
        return model_id

    async def key(self, owner: Client) -> str:
        """An API key's id."""
        key_id: str = (await owner.post("/api/users/api_key", {"name": "My API Key"})).body["id"]
        return key_id

    async def generation(self, owner: Client) -> str:
        """An answer that is being asked for."""
        reply = await owner.post(f"/api/chats/{await self.chat(owner)}/messages", {"content": "Hello!", "model": "echo"})
        generation_id: str = reply.body["generation_id"]
        return generation_id

    async def answered(self, owner: Client) -> str:
        """An answer that is complete."""
        await self.forget_jobs()
        generation_id = await self.generation(owner)
        making = await claim_next(self.services)
        await making.say("Hi! ", "How can I help?")
        await making.finish()
        return generation_id

    async def pulled(self) -> str:
        """A pull that has ended."""
        pull = await self.services.pulls.start(ADMIN, StartPull(name=f"tiny/model-{next(self._numbers)}"))
        await self._end(pull.id)
        return pull.id

    async def forget_jobs(self) -> None:
        """Nothing waits for a worker any more."""
        for queue in WORK:
            await self.services.scripts.command("DEL", waiting_key(queue), messages_key(queue))

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[None, None]:
        """While the block runs, whatever is asked for is answered."""
        duties = [asyncio.create_task(self._work(queue)) for queue in WORK]
        try:
            yield
        finally:
            for duty in duties:
                duty.cancel()
                with suppress(asyncio.CancelledError):
                    await duty

    async def _work(self, queue: str) -> None:
        while True:
            (message,) = await until(lambda: self.services.queue.fetch(queue, WORKER, 1), "a job comes", timeout_s=300)
            work = {"generate": self._generate, "embed": self._embed, "search": self._search, "call": self._call}
            await work.get(WORK[queue], self._end)(message.args[0])

    async def _generate(self, job_id: str) -> None:
        making = await ManualJob.of(self.services, job_id)
        await making.say("Hi! ", "How can I help you today?")
        await making.finish()

    async def _embed(self, job_id: str) -> None:
        await self.services.results.put(job_id, array("f", (0.25, -0.5, 0.125)).tobytes())
        await self._end(job_id)

    async def _search(self, job_id: str) -> None:
        await self.services.results.put(job_id, msgspec.json.encode(FOUND))
        await self._end(job_id)

    async def _call(self, job_id: str) -> None:
        await self.services.results.put(job_id, msgspec.json.encode(CALLED))
        await self._end(job_id)

    async def _end(self, job_id: str) -> None:
        claim = await self.services.claims.claim(job_id, WORKER)
        assert claim
        end: Any = Finished(usage=Usage(prompt_tokens=1, completion_tokens=0, total_tokens=1))
        await self.services.claims.append(claim, 1, (end,), end=JobStatus.FINISHED)
