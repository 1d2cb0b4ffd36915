"""``python -m tests.workers.counting FINGERPRINT``: a real worker process of the GPU pool, whose model counts."""

import argparse
import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from core import settings as settings_module
from core.errors import EngineFailed
from core.logging import configure
from core.models.catalog import Model
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta
from core.models.numerics import Numerics
from core.models.pools import Pool
from pipelines.chat import Prompt, Transcript, Window
from workers.process import WorkerProcess

MODEL = "counting"
BEGUN = 10
WORDS = 100


class CountingWork:
    """One model, and a generator that goes on with what others have begun; what it begins itself it leaves at ``leaves_at`` words.

    ``repeats``: after the last word it says what it was asked. ``breaks``: where it would leave an answer, its device fails.
    """

    embedder = reranker = puller = searcher = page_texts = children = sandbox = None
    tokenizers: Mapping[str, bytes] = {}
    device = "cpu"

    def __init__(self, fingerprint: str, *, model: str, leaves_at: int, repeats: bool, breaks: bool) -> None:
        self.generator = self
        self.fail: Callable[[str], None] | None = None
        self._breaks = breaks
        self._model = model
        self._leaves_at = leaves_at
        self._repeats = repeats
        self._numerics = Numerics(continued="exact", fingerprint=fingerprint, text="exact (it counts)")

    async def open(self) -> None:
        """Nothing to open."""

    async def models(self) -> tuple[str, Sequence[Model], bool]:
        return f"gpu,{self._model}", (Model(id=self._model, name=self._model, owned_by="tests", created=1, pool=Pool.GPU),), True

    def numerics(self) -> dict[str, Numerics]:
        return {self._model: self._numerics}

    async def prepare(self, model_id: str) -> Numerics:
        return self.numerics()[model_id]

    async def window(self, model_id: str) -> Window:
        del model_id
        return Window(tokens=2048, count=len)

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        begin = len(prompt.emitted.get(0, Transcript()).tokens)
        for number in range(begin, WORDS if begin else self._leaves_at):
            yield Delta(text=f"{number} ", tokens=(number,))
        if not begin and self._breaks and self.fail:
            self.fail("the device has fallen off the bus")
            message = "The device of this worker has failed."
            raise EngineFailed(message)
        if not begin and self._leaves_at < WORDS:
            await asyncio.Event().wait()
        if self._repeats:
            yield Delta(text=str(prompt.messages[-1]["content"]))
        yield ChoiceFinished()
        yield Usage(prompt_tokens=1, completion_tokens=WORDS, total_tokens=1 + WORDS)


if __name__ == "__main__":
    settings = settings_module.with_secret_key(settings_module.load())
    configure(settings)
    parser = argparse.ArgumentParser()
    parser.add_argument("fingerprint")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--leaves-at", type=int, default=BEGUN)
    parser.add_argument("--repeats", action="store_true")
    parser.add_argument("--breaks", action="store_true")
    work = CountingWork(**vars(parser.parse_args()))

    def load(fail: Callable[[str], None]) -> CountingWork:
        work.fail = fail
        return work

    WorkerProcess(Pool.GPU, settings, load).run()  # type: ignore[arg-type]  # its attributes have narrower types
