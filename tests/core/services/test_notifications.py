from collections.abc import Callable

from core.models.events import Cancelled
from core.models.generations import Generation
from core.models.jobs import JobSpec, JobStatus
from core.services.chats.chats import Chats
from core.services.notifications import chat_topic
from core.storage.generations import Generations as GenerationRows
from tests.core.services.people import ME
from tests.job_backend import JobBackend


async def test_deleting_a_chat_stops_its_answers_and_tells_its_room(
    chats: Chats, generations: GenerationRows, backend: JobBackend, new_spec: Callable[[], JobSpec]
) -> None:
    chat_id, spec = (await chats.create(ME, {})).chat.id, new_spec()
    await generations.insert(
        Generation(id=spec.id, user_id=ME.id, chat_id=chat_id, message_id="m", model="m", status=JobStatus.IN_PROGRESS, created_at=1)
    )
    await backend.queue.submit(spec)
    news = backend.log.hear(chat_topic(chat_id))
    await anext(news)
    await chats.delete(ME, chat_id)
    assert [event for _, event in await backend.log.read(spec.id)] == [Cancelled()]
    assert await anext(news) == b'{"type":"deleted"}'
    await news.aclose()
