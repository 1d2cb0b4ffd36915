"""What may be done: one class per noun; check, write, enqueue last. Wired here and nowhere else."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from core.events import EventLog
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.jobs.results import Results
from core.redis.client import Redis, Scripts, connect
from core.redis.read_markers import ReadMarkers
from core.redis.sign_in_attempts import SignInAttempts
from core.redis.workers import WorkerRegistry
from core.security import Passwords, Tokens
from core.services.answers import Answers
from core.services.api_keys import ApiKeys
from core.services.chats.chats import Chats
from core.services.chats.copies import ChatCopies
from core.services.chats.search import ChatSearch
from core.services.chats.shares import Shares
from core.services.configs import Configs, defaults
from core.services.embeddings import Embeddings
from core.services.generations import Generations
from core.services.models.custom_models import CustomModels
from core.services.models.models import Models
from core.services.notifications import Notifications
from core.services.pulls import Pulls
from core.services.users.accounts import Accounts
from core.services.users.pictures import Pictures
from core.services.users.removal import Removal
from core.services.users.users import Users
from core.settings import Settings
from core.storage import open_records
from core.storage.administrators import Administrators
from core.storage.api_keys import ApiKeys as KeyRows
from core.storage.chats import Chats as ChatRows
from core.storage.configs import Configs as ConfigRows
from core.storage.generations import Generations as GenerationRows
from core.storage.messages import Messages as MessageRows
from core.storage.models import Models as ModelRows
from core.storage.pictures import Pictures as PictureRows
from core.storage.pulls import Pulls as PullRows
from core.storage.records.port import Records
from core.storage.shares import Shares as ShareRows
from core.storage.users import Users as UserRows


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process may ask for. ``redis`` and ``records`` are here for health checks."""

    settings: Settings
    redis: Redis
    records: Records
    scripts: Scripts
    events: EventLog
    claims: Claims
    queue: JobQueue
    users: Users
    accounts: Accounts
    api_keys: ApiKeys
    chats: Chats
    chat_copies: ChatCopies
    chat_search: ChatSearch
    shares: Shares
    models: Models
    workers: WorkerRegistry
    generations: Generations
    answers: Answers
    pulls: Pulls
    configs: Configs
    embeddings: Embeddings
    results: Results


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncGenerator[Services, None]:
    """Services over the stores that the settings name.

    Raises Unavailable where the document store is not there; Redis is waited for at each call.
    """
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(open_records(settings))
        redis, broker = connect(settings.redis_url), connect(settings.redis_url, broker=True)
        stack.push_async_callback(redis.aclose)
        stack.push_async_callback(broker.aclose)
        events = EventLog(redis)
        await events.start()
        stack.push_async_callback(events.close)
        scripts, passwords = Scripts(redis), Passwords()
        stack.callback(passwords.close)
        claims, queue = Claims(scripts, lease_ms=settings.lease_ms), JobQueue(scripts, Scripts(broker))
        rows = GenerationRows(records)
        notifications = Notifications(claims, events)
        chat_rows, message_rows = ChatRows(records), MessageRows(records)
        shares, user_rows = ShareRows(records), UserRows(records)
        read_markers = ReadMarkers(Scripts(redis, patience_s=0))
        stack.push_async_callback(read_markers.close)
        chats = Chats(
            rows=chat_rows, messages=message_rows, generations=rows, shares=shares, notifications=notifications, read_markers=read_markers
        )
        shared = Shares(chats, chat_rows, shares, user_rows)
        customs = CustomModels(ModelRows(records), events)
        stack.push_async_callback(customs.close)
        models = Models(scripts, customs, events)
        workers, results = WorkerRegistry(scripts), Results(scripts)
        keys, pictures = KeyRows(records), PictureRows(records)
        sign_in_attempts, portraits = SignInAttempts(Scripts(redis, patience_s=0)), Pictures(pictures)
        users = Users(
            rows=user_rows,
            keys=keys,
            pictures=portraits,
            passwords=passwords,
            tokens=Tokens(settings),
            sign_in_attempts=sign_in_attempts,
            settings=settings,
            announce_revocation=notifications.announce_revocation,
        )
        belongings = (claims.cancel_user, chats.delete_all, customs.remove_user, keys.remove_user, pictures.remove_user)
        removal = Removal(user_rows, Administrators(records), belongings, notifications.announce_revocation)
        yield Services(
            settings=settings,
            redis=redis,
            records=records,
            scripts=scripts,
            events=events,
            claims=claims,
            queue=queue,
            users=users,
            accounts=Accounts(
                rows=user_rows,
                users=users,
                pictures=portraits,
                passwords=passwords,
                sign_in_attempts=sign_in_attempts,
                removal=removal,
                announce_revocation=notifications.announce_revocation,
            ),
            api_keys=ApiKeys(keys, notifications.announce_revocation),
            chats=chats,
            chat_copies=ChatCopies(chats, chat_rows, shared),
            chat_search=ChatSearch(chat_rows, message_rows),
            shares=shared,
            models=models,
            workers=workers,
            generations=Generations(
                rows=rows, chats=chats, models=models, claims=claims, queue=queue, events=events, notifications=notifications
            ),
            answers=Answers(rows, chats),
            pulls=Pulls(PullRows(records), claims, queue, events, ollamas=settings.ollama_base_urls),
            configs=Configs(ConfigRows(records), events, defaults(settings)),
            embeddings=Embeddings(models=models, workers=workers, claims=claims, queue=queue, events=events, results=results),
            results=results,
        )
