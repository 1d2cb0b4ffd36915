"""From a document to the passages of a base: cut, told apart, and given to the vector store."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from core.models.documents import Chunk, ParsedDocument
from core.models.knowledge import Chunking, KnowledgeFile
from core.services.knowledge.embedded import EmbeddedDocument
from core.storage.vectors.port import Passage, Point
from pipelines import chunking as cutting
from pipelines.token_counts import counter

ID_LETTERS = 32


def cut(document: ParsedDocument, tokenizer: bytes | None, chunking: Chunking, context_length: int | None) -> list[Chunk]:
    """A document's chunks, none longer than the model can take with what it adds to each."""
    count_tokens, added = counter(tokenizer)
    most = max(1, min(chunking.max_tokens, (context_length or chunking.max_tokens + added) - added))
    return cutting.chunk(document, count_tokens, max_tokens=most, overlap_tokens=min(chunking.overlap_tokens, most // 2))


def identify(chunks: Sequence[Chunk], model: str) -> tuple[str, ...]:
    """An id for each, made of what it says, how documents are cut, and the model: the same chunk has it wherever it stands.

    Where a document says the same twice, the second one's is numbered.
    """
    seen = Counter[str]()
    ids = []
    for chunk in chunks:
        of_text = hashlib.sha256(f"{cutting.VERSION}\0{model}\0{chunk.text}".encode()).hexdigest()[:ID_LETTERS]
        seen[of_text] += 1
        ids.append(of_text if seen[of_text] == 1 else f"{of_text}-{seen[of_text]}")
    return tuple(ids)


def points(entry: KnowledgeFile, document: EmbeddedDocument, at_once: int) -> Iterator[list[Point]]:
    """What the vector store is to hold of an entry's revision, some at a time: of a large document all would be many megabytes."""
    about = {"file_id": entry.file_id, "filename": entry.filename, "knowledge_id": entry.knowledge_id}
    metadata = msgspec.json.encode({**entry.metadata, **about}).decode()
    for start in range(0, len(document.ids), at_once):
        yield [
            Point(
                passage=Passage(
                    id=document.ids[place],
                    collection=entry.knowledge_id,
                    file=entry.id,
                    generation=entry.revision,
                    position=document.chunks[place].position,
                    text=document.chunks[place].text,
                    headings=document.chunks[place].headings,
                    pages=document.chunks[place].pages,
                    metadata=metadata,
                ),
                vector=document.vector(place),
            )
            for place in range(start, min(start + at_once, len(document.ids)))
        ]
