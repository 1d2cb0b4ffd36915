"""The passages that an answer is to stand on: looked for once, by the first worker that takes the answer."""

import asyncio
from collections.abc import Sequence

import msgspec

from core.errors import BadRequest, ContextTooLong, PenstockError, Unavailable
from core.models.files import File
from core.models.generations import GenerationSpec
from core.models.knowledge import KnowledgeBase
from core.models.sources import LookThrough, Source
from core.services import Services
from core.services.files.documents import Documents
from core.services.files.reading import Reading
from core.services.knowledge.bases import KnowledgeBases
from core.services.knowledge.files import KnowledgeFiles
from core.services.models.models import Models
from core.services.models.tokenizers import Tokenizers
from core.services.retrieval import Retrieval, Retrieve
from core.services.sources import question_of
from core.storage.vectors.port import POOL, Hit
from pipelines import sources
from pipelines.chat import Prompt, Window
from pipelines.sources import UNNUMBERED, Group
from pipelines.token_counts import ESTIMATED_BYTES, counter, shorten

MAX_CHARACTERS = 2_000_000
QUERY_TOKENS = 256
LATER_S = 30
NOT_LOOKED_THROUGH = "This was not answered, because what is attached could not be looked through: "


class Passages(msgspec.Struct, frozen=True, kw_only=True):
    """``top_k``: so many out of all knowledge bases together; ``tokens``: so many of all passages together, at most.

    ``patience_s``: so long a file is waited for that is still being read.
    """

    reading: Reading
    documents: Documents
    bases: KnowledgeBases
    entries: KnowledgeFiles
    models: Models
    tokenizers: Tokenizers
    retrieval: Retrieval
    top_k: int
    tokens: int
    patience_s: float

    @classmethod
    def of(cls, services: Services) -> "Passages":
        """Those of a process."""
        return cls(
            reading=services.reading,
            documents=services.documents,
            bases=services.knowledge,
            entries=services.knowledge_files,
            models=services.models,
            tokenizers=services.tokenizers,
            retrieval=services.retrieval,
            top_k=services.settings.retrieval_top_k,
            tokens=services.settings.retrieval_tokens,
            patience_s=services.settings.worker_wait_s,
        )

    async def find(self, spec: GenerationSpec, prompt: Prompt, window: Window) -> tuple[Source, ...]:
        """Numbered; none where nothing was found. No answer is made as if nothing had been attached.

        Raises what has hindered looking, and ContextTooLong where the conversation leaves no room for any passage.
        """
        look_through, question = spec.look_through or LookThrough(), question_of(prompt.messages)
        try:
            budget = await asyncio.to_thread(sources.room, window, prompt.messages, prompt.request, self.tokens)
            groups = [await self._of_file(spec.user_id, file_id, question, budget) for file_id in look_through.file_ids]
            if look_through.knowledge_ids:
                groups.append(await self._of_bases(spec.user_id, look_through, question))
        except PenstockError as error:
            raise type(error)(NOT_LOOKED_THROUGH + error.detail, retry_after=error.retry_after) from None
        chosen = await asyncio.to_thread(sources.choose, groups, budget, window.count)
        if not chosen and any(group.passages for group in groups):
            message = (
                "The conversation leaves no room for any passage of what is attached. Ask in a new chat, ask for a shorter answer, "
                "or ask a model with a longer context."
            )
            raise ContextTooLong(message, param="messages")
        return chosen

    async def _of_file(self, owner: str, file_id: str, question: str, budget: int) -> Group:
        """All of it, the best first; of one that does not fit, what its base finds, if it is in any."""
        try:
            async with asyncio.timeout(self.patience_s):
                file, record = await self.reading.find(file_id)
        except TimeoutError:
            message = f"A file is still being read after {self.patience_s:g} seconds. Ask again later. Workers of the pool cpu read files."
            raise Unavailable(message, retry_after=LATER_S) from None
        if not record.characters:
            message = f"{file.filename} has no text. {' '.join(record.missing)}".rstrip()
            raise BadRequest(message, param="files")
        base = await self.entries.find_base(file_id) if record.characters > budget * ESTIMATED_BYTES else None
        if base:
            return await self._of_index(owner, base, file, question)
        if record.characters > MAX_CHARACTERS:
            message = (
                f"{file.filename} has {record.characters} characters, and at most {MAX_CHARACTERS} are looked through without an index. "
                "Put it into a knowledge base."
            )
            raise BadRequest(message, param="files")
        document = await self.documents.read(record)
        return await asyncio.to_thread(sources.cut, file, document, question)

    async def _of_index(self, owner: str, base: KnowledgeBase, file: File, question: str) -> Group:
        """The base is not attached, and need not be its asker's to read: the file is."""
        query = await self._shorten(question, [base])
        asked = Retrieve(query=query, knowledge_ids=[base.id], file_ids=[file.id], top_k=POOL)
        hits = (await self.retrieval.search(owner, [base], asked)).hits
        passages = [msgspec.structs.replace(_source(hit), knowledge_id=None, filename=file.filename) for hit in hits]
        return Group(passages=passages, positions=[hit.passage.position for hit in hits])

    async def _of_bases(self, owner: str, look_through: LookThrough, question: str) -> Group:
        bases = await self.bases.find_several(look_through.knowledge_ids)
        asked = Retrieve(
            query=await self._shorten(question, bases),
            knowledge_ids=list(look_through.knowledge_ids),
            top_k=POOL,  # many may be the same: a line that stands on each page
        )
        found: dict[str, Source] = {}
        for hit in (await self.retrieval.search(owner, bases, asked)).hits:
            source = _source(hit)
            if source.file_id not in look_through.file_ids:  # those are looked through themselves
                found.setdefault(source.passage, source)
        return Group(passages=list(found.values())[: self.top_k])

    async def _shorten(self, question: str, bases: Sequence[KnowledgeBase]) -> str:
        """To what each base's embedding model can take."""
        for model_id in {base.embedding_model: None for base in bases if base.embedding_model and base.dimensions}:
            model = await self.models.for_embedding(model_id)
            tokenizer = await self.tokenizers.read(model.tokenizer) if model.tokenizer else None
            count, added = await asyncio.to_thread(counter, tokenizer)
            limit = max(1, min(QUERY_TOKENS, (model.context_length or QUERY_TOKENS) - added))
            question = await asyncio.to_thread(shorten, question, count, limit)
        return question


class _About(msgspec.Struct):
    """What of a passage's metadata is told."""

    file_id: str
    filename: str
    knowledge_id: str


def _source(hit: Hit) -> Source:
    about = msgspec.json.decode(hit.passage.metadata, type=_About)
    return Source(
        number=UNNUMBERED,
        file_id=about.file_id,
        filename=about.filename,
        knowledge_id=about.knowledge_id,
        pages=hit.passage.pages,
        passage=hit.passage.text,
        score=hit.score,
    )
