"""The services, a family at a time: each opened over what all stand on."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial

import msgspec

from core.events import EventLog
from core.jobs.adoption import Adoption
from core.jobs.batches import Batches
from core.jobs.claims import Claims
from core.jobs.ownership import cancel_user
from core.jobs.placement import Placement
from core.jobs.queue import JobQueue
from core.jobs.reaper import Reaper
from core.jobs.results import Results
from core.jobs.unserved import Unserved
from core.redis.client import Redis, Scripts, connect
from core.redis.read_markers import ReadMarkers
from core.redis.sign_in_attempts import SignInAttempts
from core.redis.workers import WorkerRegistry
from core.security import Passwords, Sealer, Tokens
from core.services.answers import Answers
from core.services.api_keys import ApiKeys
from core.services.chats.chats import Chats
from core.services.chats.copies import ChatCopies
from core.services.chats.search import ChatSearch
from core.services.chats.shares import Shares
from core.services.configs import Configs
from core.services.files.documents import Documents
from core.services.files.files import Files
from core.services.files.processing import Processing
from core.services.functions.functions import Functions
from core.services.functions.preparing import Preparation
from core.services.functions.rights import Rights
from core.services.functions.valves import FunctionValves
from core.services.knowledge.bases import KnowledgeBases
from core.services.knowledge.embedded import Embedded
from core.services.knowledge.files import KnowledgeFiles
from core.services.knowledge.indexing import Indexing
from core.services.knowledge.ingest_jobs import IngestJobs
from core.services.knowledge.ingestion import Ingestion
from core.services.knowledge.upkeep import KnowledgeUpkeep
from core.services.knowledge.visibility import Visibility
from core.services.models.catalogue import Catalogue
from core.services.models.custom_models import CustomModels
from core.services.models.models import Models
from core.services.notifications import Notifications
from core.services.reconciliation import Reconciliation
from core.services.upkeep import Upkeep
from core.services.users.accounts import Accounts
from core.services.users.pictures import Pictures
from core.services.users.removal import Removal
from core.services.users.users import Users
from core.settings import Settings
from core.storage import open_blobs, open_records
from core.storage.administrators import Administrators
from core.storage.api_keys import ApiKeys as KeyRows
from core.storage.chats import Chats as ChatRows
from core.storage.documents import Documents as DocumentRows
from core.storage.embedded import EmbeddedRows
from core.storage.files import Files as FileRows
from core.storage.function_valves import FunctionValves as ValveRows
from core.storage.function_versions import FunctionVersions as VersionRows
from core.storage.functions import Functions as FunctionRows
from core.storage.generations import Generations as GenerationRows
from core.storage.ingest_jobs import IngestJobs as JobRows
from core.storage.knowledge import Knowledge as KnowledgeRows
from core.storage.knowledge_files import KnowledgeFiles as EntryRows
from core.storage.messages import Messages as MessageRows
from core.storage.models import Models as ModelRows
from core.storage.pictures import Pictures as PictureRows
from core.storage.pulls import Pulls as PullRows
from core.storage.records.port import Records
from core.storage.shares import Shares as ShareRows
from core.storage.users import Users as UserRows
from core.storage.vectors import LazyVectors


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What services stand on. ``hasty``: scripts of no patience, for what would rather do without Redis than wait for it."""

    settings: Settings
    records: Records
    redis: Redis
    scripts: Scripts
    hasty: Scripts
    events: EventLog
    claims: Claims
    queue: JobQueue
    workers: WorkerRegistry
    notifications: Notifications
    generations: GenerationRows
    files: FileRows
    results: Results
    batches: Batches


async def open_ground(stack: AsyncExitStack, settings: Settings) -> Ground:
    """Redis, the records, and what is nothing but these. Raises Unavailable where the records are not there."""
    records = await stack.enter_async_context(open_records(settings))
    redis = connect(settings.redis_url)
    stack.push_async_callback(redis.aclose)
    events = EventLog(redis)
    await events.start()
    stack.push_async_callback(events.close)
    scripts = Scripts(redis)
    claims, queue = Claims(scripts), JobQueue(scripts)
    return Ground(
        settings=settings,
        records=records,
        redis=redis,
        scripts=scripts,
        hasty=Scripts(redis, patience_s=0),
        events=events,
        claims=claims,
        queue=queue,
        workers=WorkerRegistry(scripts),
        notifications=Notifications(claims, events),
        generations=GenerationRows(records),
        files=FileRows(records),
        results=Results(scripts),
        batches=Batches(scripts, claims, queue),
    )


def open_models(stack: AsyncExitStack, on: Ground) -> tuple[Catalogue, CustomModels, Models]:
    """What can be asked."""
    customs = CustomModels(ModelRows(on.records), on.events)
    stack.push_async_callback(customs.close)
    catalogue = Catalogue(on.scripts, on.events, on.workers)
    return catalogue, customs, Models(catalogue, customs, embedding_model=on.settings.embedding_model)


def open_chats(stack: AsyncExitStack, on: Ground, user_rows: UserRows) -> tuple[Chats, ChatCopies, ChatSearch, Shares]:
    """Chats, and what is made of them."""
    rows, messages, share_rows = ChatRows(on.records), MessageRows(on.records), ShareRows(on.records)
    read_markers = ReadMarkers(on.hasty)
    stack.push_async_callback(read_markers.close)
    chats = Chats(
        rows=rows,
        messages=messages,
        generations=on.generations,
        shares=share_rows,
        notifications=on.notifications,
        read_markers=read_markers,
    )
    shares = Shares(chats, rows, share_rows, user_rows)
    return chats, ChatCopies(chats, rows, shares), ChatSearch(rows, messages), shares


class FileServices(msgspec.Struct, frozen=True, kw_only=True):
    """What has to do with files and what is found in them."""

    files: Files
    documents: Documents
    processing: Processing
    bases: KnowledgeBases
    entries: KnowledgeFiles
    entry_rows: EntryRows
    ingestion: Ingestion
    jobs: IngestJobs
    job_rows: JobRows
    indexing: Indexing
    embedded: Embedded
    visibility: Visibility
    vectors: LazyVectors


async def open_files(stack: AsyncExitStack, on: Ground, user_rows: UserRows) -> FileServices:
    """Files, and knowledge bases over them."""
    blobs = await stack.enter_async_context(open_blobs(on.settings))
    vectors = LazyVectors(on.settings)
    stack.push_async_callback(vectors.close)
    processing = Processing(on.queue, on.claims, on.results, on.events)
    indexing = Indexing(on.queue, on.claims, on.events, on.batches)
    documents, embedded = Documents(DocumentRows(on.records), on.files, blobs), Embedded(EmbeddedRows(on.records), blobs)
    max_mb, types = on.settings.max_upload_mb, on.settings.upload_types
    files = Files(on.files, blobs, user_rows, processing, max_mb=max_mb, types=types)
    base_rows, entry_rows = KnowledgeRows(on.records), EntryRows(on.records)
    bases = KnowledgeBases(base_rows)
    entries = KnowledgeFiles(rows=entry_rows, base_rows=base_rows, bases=bases, files=files, indexing=indexing)
    job_rows = JobRows(on.records)
    jobs = IngestJobs(jobs=job_rows, rows=entry_rows, indexing=indexing, events=on.events)
    ingestion = Ingestion(
        rows=entry_rows, jobs=job_rows, bases=bases, files=files, entries=entries, indexing=indexing, events=on.events, ingest_jobs=jobs
    )
    bases.on_delete.append(entries.remove_all)
    files.on_delete += [entries.forget, documents.forget]
    documents.on_forget.append(embedded.forget_document)
    return FileServices(
        files=files,
        documents=documents,
        processing=processing,
        bases=bases,
        entries=entries,
        entry_rows=entry_rows,
        ingestion=ingestion,
        jobs=jobs,
        job_rows=job_rows,
        indexing=indexing,
        embedded=embedded,
        visibility=Visibility(entry_rows),
        vectors=vectors,
    )


def open_functions(on: Ground, configs: Configs, user_rows: UserRows) -> tuple[Functions, FunctionValves, Preparation]:
    """Users' own code, its settings, and what a call of it needs."""
    rows, versions = FunctionRows(on.records), VersionRows(on.records)
    functions = Functions(rows, versions, Rights(configs))
    valves = FunctionValves(functions, ValveRows(on.records), Sealer(on.settings))
    return functions, valves, Preparation(rows, versions, valves, user_rows)


def open_users(
    stack: AsyncExitStack, on: Ground, rows: UserRows, belongings: Iterable[Callable[[str], Awaitable[object]]]
) -> tuple[Users, Accounts, ApiKeys]:
    """``belongings``: what takes away what a user has elsewhere."""
    keys, picture_rows, revoke = KeyRows(on.records), PictureRows(on.records), on.notifications.announce_revocation
    pictures, passwords, sign_in_attempts = Pictures(picture_rows), Passwords(), SignInAttempts(on.hasty)
    stack.callback(passwords.close)
    taken_away: tuple[Callable[[str], Awaitable[object]], ...]
    taken_away = (partial(cancel_user, on.claims, on.queue), *belongings, keys.remove_user, picture_rows.remove_user)
    users = Users(
        rows=rows,
        keys=keys,
        pictures=pictures,
        passwords=passwords,
        tokens=Tokens(on.settings),
        sign_in_attempts=sign_in_attempts,
        settings=on.settings,
        announce_revocation=revoke,
    )
    accounts = Accounts(
        rows=rows,
        users=users,
        pictures=pictures,
        passwords=passwords,
        sign_in_attempts=sign_in_attempts,
        removal=Removal(rows, Administrators(on.records), taken_away, revoke),
        announce_revocation=revoke,
    )
    return users, accounts, ApiKeys(keys, revoke)


def open_upkeep(
    on: Ground, catalogue: Catalogue, answers: Answers, pulls: PullRows, family: FileServices
) -> tuple[Placement, Reaper, Upkeep]:
    """What looks after jobs."""
    placement = Placement(on.events, on.workers)
    reaper = Reaper(claims=on.claims, queue=on.queue, workers=on.workers, lease_ms=on.settings.lease_ms, place=placement.of)
    upkeep = Upkeep(
        scripts=on.scripts,
        reaper=reaper,
        batches=on.batches,
        unserved=Unserved(claims=on.claims, queue=on.queue, workers=on.workers, wait_s=on.settings.worker_wait_s),
        adoption=Adoption(on.scripts, on.claims, on.queue),
        reconciliation=Reconciliation(
            generations=on.generations,
            pulls=pulls,
            files=on.files,
            processing=family.processing,
            answers=answers,
            claims=on.claims,
            events=on.events,
        ),
        knowledge_upkeep=KnowledgeUpkeep(
            rows=family.entry_rows,
            bases=KnowledgeRows(on.records),
            indexing=family.indexing,
            jobs=family.jobs,
            files=family.files,
            claims=on.claims,
            events=on.events,
            vectors=family.vectors,
        ),
        catalogue=catalogue,
    )
    return placement, reaper, upkeep
