"""What may be done: one class per noun; check, write, enqueue last. Wired here, a family at a time in ``families``, and nowhere else."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from core.events import EventLog
from core.jobs.batches import Batches
from core.jobs.calls import Calls
from core.jobs.claims import Claims
from core.jobs.placement import Placement
from core.jobs.queue import JobQueue
from core.jobs.reaper import Reaper
from core.jobs.results import Results
from core.models.configs import RateLimits
from core.redis.client import Redis, Scripts
from core.redis.presence import Presence
from core.redis.rate_limits import RateLimiter
from core.redis.workers import WorkerRegistry
from core.services.answers import Answers
from core.services.api_keys import ApiKeys
from core.services.chats.chats import Chats
from core.services.chats.copies import ChatCopies
from core.services.chats.search import ChatSearch
from core.services.chats.shares import Shares
from core.services.configs import Configs, defaults
from core.services.embeddings import Embeddings
from core.services.families import open_chats, open_files, open_functions, open_ground, open_models, open_upkeep, open_users
from core.services.files.documents import Documents
from core.services.files.files import Files
from core.services.files.processing import Processing
from core.services.files.reading import Reading
from core.services.functions.calls import FunctionCalls
from core.services.functions.functions import Functions
from core.services.functions.preparing import Preparation
from core.services.functions.trials import Trials
from core.services.functions.valves import FunctionValves
from core.services.generations import Generations
from core.services.knowledge.bases import KnowledgeBases
from core.services.knowledge.embedded import Embedded
from core.services.knowledge.files import KnowledgeFiles
from core.services.knowledge.ingest_jobs import IngestJobs
from core.services.knowledge.ingestion import Ingestion
from core.services.models.catalogue import Catalogue
from core.services.models.models import Models
from core.services.models.tokenizers import Tokenizers
from core.services.pulls import Pulls
from core.services.reranking import Reranking
from core.services.retrieval import Retrieval
from core.services.sources import Sources
from core.services.tools import Tools
from core.services.upkeep import Upkeep
from core.services.users.accounts import Accounts
from core.services.users.users import Users
from core.services.web_search import WebSearch
from core.settings import Settings
from core.storage.configs import Configs as ConfigRows
from core.storage.pulls import Pulls as PullRows
from core.storage.records.port import Records
from core.storage.users import Users as UserRows
from core.storage.vectors import LazyVectors


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process may ask for. ``redis`` and ``records`` are here for health checks."""

    settings: Settings
    redis: Redis
    records: Records
    scripts: Scripts
    events: EventLog
    claims: Claims
    queue: JobQueue
    batches: Batches
    placement: Placement
    reaper: Reaper
    upkeep: Upkeep
    users: Users
    accounts: Accounts
    api_keys: ApiKeys
    chats: Chats
    chat_copies: ChatCopies
    chat_search: ChatSearch
    shares: Shares
    files: Files
    documents: Documents
    processing: Processing
    reading: Reading
    functions: Functions
    function_valves: FunctionValves
    function_calls: FunctionCalls
    function_trials: Trials
    preparation: Preparation
    knowledge: KnowledgeBases
    knowledge_files: KnowledgeFiles
    ingestion: Ingestion
    ingest_jobs: IngestJobs
    embedded: Embedded
    vectors: LazyVectors
    tokenizers: Tokenizers
    presence: Presence
    catalogue: Catalogue
    models: Models
    workers: WorkerRegistry
    generations: Generations
    answers: Answers
    pulls: Pulls
    configs: Configs
    rate_limiter: RateLimiter
    embeddings: Embeddings
    web_search: WebSearch
    retrieval: Retrieval
    results: Results


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncGenerator[Services, None]:
    """Services over the stores that the settings name.

    Raises Unavailable where the document store is not there; Redis is waited for at each call.
    """
    async with AsyncExitStack() as stack:
        on = await open_ground(stack, settings)
        user_rows = UserRows(on.records)
        catalogue, customs, models = open_models(stack, on)
        chats, chat_copies, chat_search, shares = open_chats(stack, on, user_rows)
        family = await open_files(stack, on, user_rows)
        configs = Configs(ConfigRows(on.records), on.events, defaults(settings))
        functions, function_valves, preparation = open_functions(on, configs, user_rows)
        users, accounts, api_keys = open_users(
            stack,
            on,
            user_rows,
            (
                chats.delete_all,
                customs.remove_user,
                family.bases.remove_user,
                family.files.remove_user,
                family.job_rows.remove_user,
                functions.remove_user,
                function_valves.remove_user,
            ),
        )
        answers, pull_rows = Answers(on.generations, chats), PullRows(on.records)
        placement, reaper, upkeep = open_upkeep(on, catalogue, answers, pull_rows, family)
        calls = Calls(workers=on.workers, claims=on.claims, queue=on.queue, events=on.events, results=on.results)
        embeddings, function_calls = Embeddings(models, calls), FunctionCalls(calls)
        yield Services(
            settings=settings,
            redis=on.redis,
            records=on.records,
            scripts=on.scripts,
            events=on.events,
            claims=on.claims,
            queue=on.queue,
            batches=on.batches,
            placement=placement,
            reaper=reaper,
            upkeep=upkeep,
            users=users,
            accounts=accounts,
            api_keys=api_keys,
            chats=chats,
            chat_copies=chat_copies,
            chat_search=chat_search,
            shares=shares,
            files=family.files,
            documents=family.documents,
            processing=family.processing,
            reading=Reading(family.files, family.documents, family.processing),
            functions=functions,
            function_valves=function_valves,
            function_calls=function_calls,
            function_trials=Trials(functions, function_calls),
            preparation=preparation,
            knowledge=family.bases,
            knowledge_files=family.entries,
            ingestion=family.ingestion,
            ingest_jobs=family.jobs,
            embedded=family.embedded,
            vectors=family.vectors,
            tokenizers=Tokenizers(on.scripts),
            presence=Presence(on.scripts),
            catalogue=catalogue,
            models=models,
            workers=on.workers,
            generations=Generations(
                rows=on.generations,
                chats=chats,
                catalogue=catalogue,
                models=models,
                sources=Sources(family.bases, family.files),
                tools=Tools(functions),
                claims=on.claims,
                queue=on.queue,
                events=on.events,
                notifications=on.notifications,
            ),
            answers=answers,
            pulls=Pulls(pull_rows, on.claims, on.queue, on.events, ollamas=settings.ollama_base_urls),
            configs=configs,
            rate_limiter=RateLimiter(on.hasty, lambda: configs.get(RateLimits)),
            embeddings=embeddings,
            retrieval=Retrieval(
                bases=family.bases,
                visibility=family.visibility,
                embeddings=embeddings,
                models=models,
                vectors=family.vectors,
                reranking=Reranking(settings, on.workers, calls),
            ),
            web_search=WebSearch(settings, calls),
            results=on.results,
        )
