"""What may be done: one class per noun; check, write, enqueue last. Wired here and nowhere else."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from core.events import EventLog
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.jobs.results import Results
from core.redis.client import Redis, Scripts, connect
from core.redis.read_markers import Shown
from core.redis.sign_in_attempts import Guesses
from core.redis.workers import Pools
from core.security import Passwords, Tokens
from core.services.answers import Answers
from core.services.api_keys import Keys
from core.services.chats.chats import Chats
from core.services.chats.copies import ChatCopies
from core.services.chats.search import ChatSearch
from core.services.chats.shares import Shares
from core.services.configs import Configs, defaults
from core.services.embeddings import Embeddings
from core.services.generations import Generations
from core.services.models.custom_models import CustomModels
from core.services.models.models import Models
from core.services.notifications import Rooms
from core.services.pulls import Pulls
from core.services.users.accounts import Accounts
from core.services.users.pictures import Pictures
from core.services.users.removal import Removal
from core.services.users.users import Users
from core.settings import Settings
from core.storage import open_documents
from core.storage.administrators import Administrators
from core.storage.api_keys import Keys as KeyRows
from core.storage.chats import Chats as ChatRows
from core.storage.configs import Configs as ConfigRows
from core.storage.generations import Generations as GenerationRows
from core.storage.messages import Messages as MessageRows
from core.storage.models import Models as ModelRows
from core.storage.pictures import Pictures as PictureRows
from core.storage.pulls import Pulls as PullRows
from core.storage.records.port import Documents
from core.storage.shares import Shares as ShareRows
from core.storage.users import Users as UserRows


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process may ask for. ``redis`` and ``documents`` are here for health checks."""

    settings: Settings
    redis: Redis
    documents: Documents
    scripts: Scripts
    events: EventLog
    claims: Claims
    queue: JobQueue
    users: Users
    accounts: Accounts
    keys: Keys
    chats: Chats
    chat_copies: ChatCopies
    chat_search: ChatSearch
    shares: Shares
    models: Models
    pools: Pools
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
        documents = await stack.enter_async_context(open_documents(settings))
        redis, broker = connect(settings.redis_url), connect(settings.redis_url, broker=True)
        stack.push_async_callback(redis.aclose)
        stack.push_async_callback(broker.aclose)
        events = EventLog(redis)
        await events.start()
        stack.push_async_callback(events.close)
        scripts, passwords = Scripts(redis), Passwords()
        stack.callback(passwords.close)
        claims, queue = Claims(scripts, lease_ms=settings.lease_ms), JobQueue(scripts, Scripts(broker))
        rows = GenerationRows(documents)
        rooms = Rooms(claims, events)
        chat_rows, message_rows = ChatRows(documents), MessageRows(documents)
        shares, user_rows = ShareRows(documents), UserRows(documents)
        shown = Shown(Scripts(redis, patience_s=0))
        stack.push_async_callback(shown.close)
        chats = Chats(rows=chat_rows, messages=message_rows, generations=rows, shares=shares, rooms=rooms, shown=shown)
        shared = Shares(chats, chat_rows, shares, user_rows)
        customs = CustomModels(ModelRows(documents), events)
        stack.push_async_callback(customs.close)
        models = Models(scripts, customs, events)
        pools, results = Pools(scripts), Results(scripts)
        keys, pictures = KeyRows(documents), PictureRows(documents)
        guesses, portraits = Guesses(Scripts(redis, patience_s=0)), Pictures(pictures)
        users = Users(
            rows=user_rows,
            keys=keys,
            pictures=portraits,
            passwords=passwords,
            tokens=Tokens(settings),
            guesses=guesses,
            settings=settings,
            revoked=rooms.revoked,
        )
        belongings = (claims.cancel_user, chats.delete_all, customs.remove_user, keys.remove_user, pictures.remove_user)
        removal = Removal(user_rows, Administrators(documents), belongings, rooms.revoked)
        yield Services(
            settings=settings,
            redis=redis,
            documents=documents,
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
                guesses=guesses,
                removal=removal,
                revoked=rooms.revoked,
            ),
            keys=Keys(keys, rooms.revoked),
            chats=chats,
            chat_copies=ChatCopies(chats, chat_rows, shared),
            chat_search=ChatSearch(chat_rows, message_rows),
            shares=shared,
            models=models,
            pools=pools,
            generations=Generations(rows=rows, chats=chats, models=models, claims=claims, queue=queue, events=events, rooms=rooms),
            answers=Answers(rows, chats),
            pulls=Pulls(PullRows(documents), claims, queue, events, ollamas=settings.ollama_base_urls),
            configs=Configs(ConfigRows(documents), events, defaults(settings)),
            embeddings=Embeddings(models=models, pools=pools, claims=claims, queue=queue, events=events, results=results),
            results=results,
        )
