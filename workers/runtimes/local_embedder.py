"""The local embedding model as an embedder."""

from core.errors import BadRequest
from core.models.catalog import Model, Task
from core.models.completions import Usage
from core.models.embeddings import Vectors
from core.models.numerics import Numerics
from core.models.pools import Pool
from gpu.embedder import Embedder
from gpu.shares import Share
from pipelines.embedding import EmbeddingTask


class LocalEmbedder:
    """The one that this process serves."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def tokenizer(self) -> bytes:
        """Its ``tokenizer.json``."""
        return self._embedder.tokenizer

    def model(self) -> Model:
        """Its entry in the catalogue."""
        served = self._embedder
        return Model(
            id=served.model_id,
            name=served.model_id,
            owned_by=served.owned_by,
            created=served.created,
            pool=Pool.GPU,
            context_length=served.context_length,
            tasks=(Task.EMBEDDING,),
        )

    def numerics(self) -> Numerics:
        """How it computes, for people: nobody goes on from another's vector."""
        return Numerics(continued="equivalent", text=self._embedder.way)

    async def embed(self, task: EmbeddingTask) -> Vectors:
        """The vectors of a request's inputs. Raises ContextTooLong, BadRequest for dimensions that the model has not, and EngineFailed."""
        wanted, size = task.request.dimensions, self._embedder.dimensions
        if wanted not in {None, size}:
            message = f"dimensions: {self._embedder.model_id} gives {size} and cannot shorten its vectors. Leave it out."
            raise BadRequest(message, param="dimensions")
        inputs = task.request.inputs
        data, tokens = await self._embedder.embed(inputs, Share.BULK if task.is_bulk else None)
        return Vectors(data=data, count=len(inputs), usage=Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens))
