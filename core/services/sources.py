"""What answers stand on: whether their askers may look there, and the passages as Open WebUI's clients read them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from core.errors import BadRequest, NotFound
from core.models.sources import MAX_BASES, MAX_FILES, Attached, Attachment, LookThrough, Source, SourceKind
from core.models.users import Principal
from core.services.files.files import Files
from core.services.knowledge.bases import KnowledgeBases


class Sources:
    """The service of what is attached to questions. Workers ask nobody again: what it has let through, they look through."""

    def __init__(self, bases: KnowledgeBases, files: Files) -> None:
        self._bases = bases
        self._files = files

    async def check(
        self, principal: Principal, files: Sequence[Attachment], knowledge_ids: Sequence[str], messages: Sequence[Mapping[str, Any]]
    ) -> tuple[LookThrough | None, Sequence[Attached]]:
        """What is to be looked through for an answer to ``messages``, and the same with names; None where nothing is attached.

        Raises NotFound for a file that is not there or not theirs, Forbidden for such a base, and BadRequest where there are too many, or
        no question to look with.
        """
        file_ids = dict.fromkeys(file.id for file in files if file.type is SourceKind.FILE)
        base_ids = dict.fromkeys((*(file.id for file in files if file.type is SourceKind.COLLECTION), *knowledge_ids))
        if not file_ids and not base_ids:
            return None, ()
        if len(file_ids) > MAX_FILES or len(base_ids) > MAX_BASES:
            message = (
                f"files: at most {MAX_FILES} files and {MAX_BASES} knowledge bases for one answer. Put the files into a knowledge base."
            )
            raise BadRequest(message, param="files")
        if not question_of(messages).strip():
            message = "messages: what is attached is looked through with the last message of the user, which must say something."
            raise BadRequest(message, param="messages")
        bases = await self._bases.get_several(principal, tuple(base_ids))
        attached = [Attached(type=SourceKind.FILE, id=file_id, name=await self._name(principal, file_id)) for file_id in file_ids]
        attached += [Attached(type=SourceKind.COLLECTION, id=base.id, name=base.name) for base in bases]
        return LookThrough(knowledge_ids=tuple(base_ids), file_ids=tuple(file_ids)), attached

    async def _name(self, principal: Principal, file_id: str) -> str:
        try:
            return (await self._files.get(principal, file_id)).filename
        except NotFound:
            message = f"files: there is no file {file_id!r}. It may have been deleted, or belong to somebody else: take it out."
            raise NotFound(message, param="files") from None


def question_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user said last: the text of it."""
    said = next((message.get("content") for message in reversed(messages) if message.get("role") == "user"), "")
    if isinstance(said, str):
        return said
    parts = said if isinstance(said, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def attached_to(document: Mapping[str, Any]) -> list[Attachment]:
    """What a client has attached to a whole chat, as Open WebUI's page keeps it. What is neither a file nor a base is passed over."""
    found = document.get("files")
    return list(_attachments(found if isinstance(found, list) else ()))


def _attachments(found: Iterable[Any]) -> Iterable[Attachment]:
    for one in found:
        try:
            yield msgspec.convert(one, Attachment)
        except msgspec.ValidationError:
            continue


def describe(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """As Open WebUI's clients read them: the one that the model calls [1] first, each with one passage. ``page``: from 0, as theirs is."""
    return [
        {
            "source": {"id": source.file_id, "name": source.filename},
            "document": [source.passage],
            "metadata": [
                {
                    "source": f"{source.file_id}/{source.number}",  # theirs are one where this is the same: then [2] would be another
                    "name": source.filename,
                    "file_id": source.file_id,
                    "pages": list(source.pages),
                    **({"page": source.pages[0] - 1} if source.pages else {}),
                    **({"knowledge_id": source.knowledge_id} if source.knowledge_id else {}),
                }
            ],
            "distances": [source.score],
        }
        for source in sources
    ]
