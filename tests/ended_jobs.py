"""Answers of 64 words that have ended, and what Redis keeps of them."""

import uuid

import msgspec

from core.jobs import queue_of
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta, Finished, Started
from core.models.generations import GenerationSpec
from core.models.jobs import JobSpec, JobStatus
from tests.job_backend import JobBackend
from tests.upstream import WORDS
from workers.log_writer import LogWriter

TEXT = "".join(WORDS)


def chat_reply(kind: str, model: str) -> JobSpec:
    """A job of a chat's answer, with ids as long as they are in earnest."""
    job_id, user_id, chat_id, message_id, request_id = (str(uuid.uuid4()) for _ in range(5))
    payload = GenerationSpec(
        id=job_id, user_id=user_id, model=model, seed=2**62, created_at=1_700_000_000, chat_id=chat_id, message_id=message_id
    )
    return JobSpec(
        id=job_id,
        kind=kind,
        queue=queue_of(kind, model),
        owner=user_id,
        created_at=payload.created_at,
        payload=msgspec.Raw(msgspec.json.encode(payload)),
        request_id=request_id,
    )


async def answer(backend: JobBackend, spec: JobSpec) -> None:
    """As the local engine does at its slowest: an entry for each token, with its id."""
    writer = LogWriter(backend.claims, await backend.given(spec, "a GPU worker"), flush_ms=0)
    writer.add(Started(model="m", attempt=1, worker=uuid.uuid4().hex, fingerprint=uuid.uuid4().hex))
    for token, word in enumerate(WORDS, 40_000):
        writer.add(Delta(text=word, tokens=(token,)))
        await writer.flush()
    usage = Usage(prompt_tokens=3, completion_tokens=len(WORDS), total_tokens=3 + len(WORDS))
    await writer.end(JobStatus.FINISHED, (ChoiceFinished(), Finished(usage=usage)))


async def memory_bytes(backend: JobBackend, job_id: str) -> int:
    """Of all keys of a job."""
    keys = [key async for key in backend.redis.scan_iter(f"*{job_id}*", count=1_000)]
    taken = [await backend.redis.memory_usage(key, samples=0) for key in keys]
    return sum(bytes_ or 0 for bytes_ in taken)
