"""``python -m tests.workers.counting FINGERPRINT``: a real worker process of the GPU pool, whose model counts."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence

from core import settings as settings_module
from core.logging import configure
from core.models.catalog import Model
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta
from core.models.numerics import Numerics
from core.models.pools import Pool
from pipelines.chat import Prompt, Transcript
from workers.process import WorkerProcess

MODEL = "counting"
BEGUN = 10
WORDS = 100


class CountingWork:
    """One model, and a generator that goes on with what others have begun; what it begins itself it leaves at BEGUN words."""

    embedder = puller = None
    device = "cpu"

    def __init__(self, fingerprint: str) -> None:
        self.generator = self
        self._numerics = Numerics(continued="exact", fingerprint=fingerprint, text="exact (it counts)")

    async def open(self) -> None:
        """Nothing to open."""

    async def models(self) -> tuple[str, Sequence[Model], bool]:
        return "gpu", (Model(id=MODEL, name=MODEL, owned_by="tests", created=1, pool=Pool.GPU),), True

    def numerics(self) -> dict[str, Numerics]:
        return {MODEL: self._numerics}

    async def prepare(self, model_id: str) -> Numerics:
        return self.numerics()[model_id]

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        begin = len(prompt.emitted.get(0, Transcript()).tokens)
        for number in range(begin, WORDS if begin else BEGUN):
            yield Delta(text=f"{number} ", tokens=(number,))
        if not begin:
            await asyncio.Event().wait()
        yield ChoiceFinished()
        yield Usage(prompt_tokens=1, completion_tokens=WORDS, total_tokens=1 + WORDS)


if __name__ == "__main__":
    settings = settings_module.with_secret_key(settings_module.load())
    configure(settings)
    WorkerProcess(Pool.GPU, settings, CountingWork(sys.argv[1])).run()  # type: ignore[arg-type]  # its attributes have narrower types
    sys.stderr.flush()
    os._exit(0)
