"""What puts files into knowledge bases, in a test's own process: a real parser, and an embedder whose vectors anybody can read.

Fixtures for whoever imports them, with those of tests.serving.
"""

from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from core.errors import Unavailable
from core.jobs import EMBED, GENERATE, INDEX, PARSE
from core.models.catalog import Model, Task
from core.models.completions import Usage
from core.models.embeddings import Vectors
from core.models.events import ChoiceFinished, Delta
from core.models.numerics import Numerics
from core.models.pools import Pool
from core.services import Services
from pipelines.chat import Prompt, Window
from pipelines.embedding import EmbeddingTask
from tests.api.conftest import Client
from tests.api.forms import uploaded
from tests.serving_models import serve_models
from tests.worker_parts import WorkerParts, working
from workers.actors.embeddings import Embeddings
from workers.actors.indexing import IndexingParts
from workers.actors.parsing import LIMITS, Parsing
from workers.actors.passages import Passages
from workers.actors.replies import Replies
from workers.children import Children

WORDS = ("water", "mill", "corn", "music", "violin", "moon")
MODEL = Model(id="words", name="Words", owned_by="tests", created=1, pool=Pool.GPU, tasks=(Task.EMBEDDING,), context_length=64)
OTHER = msgspec.structs.replace(MODEL, id="other-words")
MILL = b"# The mill\n\nThe mill grinds corn with water.\n\n# The concert\n\nThe violin makes music under the moon.\n"


class CountingWords:
    """A text's vector: how often each of some words is in it. Anybody can say what is near to what."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.fails = 0

    async def embed(self, task: EmbeddingTask) -> Vectors:
        if self.fails:
            self.fails -= 1
            message = "The embedder is away."
            raise Unavailable(message, retry_after=0)
        texts = [str(text) for text in task.request.inputs]
        self.texts += texts
        rows = [array("f", [*(float(text.lower().count(word)) for word in WORDS), 0.1]).tobytes() for text in texts]
        return Vectors(data=b"".join(rows), count=len(rows), usage=Usage(prompt_tokens=1, completion_tokens=0, total_tokens=1))


@pytest.fixture
def embedder() -> CountingWords:
    return CountingWords()


@pytest.fixture
async def worker(services: Services, embedder: CountingWords) -> AsyncIterator[WorkerParts]:
    """Workers of two pools in this process; the children of one are real."""
    await serve_models(services, MODEL, worker_id="gpu")
    embeddings = {EMBED[Pool.GPU]: Embeddings(results=services.results, embedder=embedder)}
    async with Children(LIMITS, 2) as children, working(services, "gpu", embeddings, (MODEL.id, OTHER.id)):
        actors: dict[str, Any] = {
            PARSE: Parsing(files=services.files, documents=services.documents, children=children),
            INDEX: IndexingParts.of(services),
        }
        async with working(services, "cpu", actors) as worker:
            yield worker


class Telling:
    """A generator that says the same whatever it is asked, and remembers what that was. ``tokens``: what it reads at once."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Mapping[str, Any]]] = []
        self.tokens: int | None = 2048

    @property
    def prompt(self) -> str:
        """What it was told last."""
        return str(self.asked[-1][-1]["content"])

    async def prepare(self, model_id: str) -> Numerics | None:
        del model_id
        return Numerics(continued="exact", fingerprint="f1")

    async def window(self, model_id: str) -> Window:
        del model_id
        return Window(tokens=self.tokens, count=lambda text: len(text.split()))

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        self.asked.append(prompt.messages)
        yield Delta(text="As it ", tokens=(1,))
        yield Delta(text="says [1].", tokens=(2,))
        yield ChoiceFinished()
        yield Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)


@pytest.fixture
async def model(services: Services, worker: WorkerParts) -> AsyncIterator[Telling]:
    """The model of tests.serving, by another worker beside those that index."""
    assert worker
    generator = Telling()
    replies = Replies(
        claims=services.claims,
        events=services.events,
        answers=services.answers,
        generator=generator,
        passages=Passages.of(services),
        calls=services.function_calls,
    )
    async with working(services, "answers", {GENERATE[Pool.GPU]: replies}, ("echo",)):
        yield generator


async def base_of(client: Client, **more: Any) -> str:
    reply = await client.post("/api/knowledge/create", {"name": "Mills", "description": "", **more})
    assert reply.status == 201, reply
    knowledge_id: str = reply.body["id"]
    return knowledge_id


async def put(client: Client, knowledge_id: str, data: bytes = MILL, name: str = "mill.md") -> dict[str, Any]:
    """Upload a file and have it indexed, to the end."""
    file = await uploaded(client, data, name)
    done = await client.post("/api/retrieval/process?wait=true", {"file_id": file["id"], "knowledge_id": knowledge_id})
    assert done.status == 200, done
    body: dict[str, Any] = done.body
    return body
