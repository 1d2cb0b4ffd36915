"""Every setting of the product, read once at an entry point and passed down."""

import os
import re
import secrets
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from dotenv import dotenv_values

from core.errors import SettingsError
from core.models.embeddings import EmbeddingDtype
from core.models.fetch_rules import HOST, FetchRule
from core.models.users import Role

PREFIX = "PENSTOCK_"
SECRET_KEY_FILE = "secret-key"  # noqa: S105 - a file's name
MIN_SECRET_KEY_BYTES = 32
MIN_REDIS_MB = 64

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]

_MEDIA_TYPE = re.compile(r"[a-z0-9][\w.+-]*/(\*|[a-z0-9][\w.+-]*)", re.ASCII)
_ORIGIN = re.compile(r"\*|https?://[\w.:\[\]-]+/?", re.ASCII)


class LogFormat(StrEnum):
    """How log lines are written."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class Appendfsync(StrEnum):
    """When the embedded Redis has the disk keep what was written."""

    EVERYSEC = "everysec"
    ALWAYS = "always"


class SearchEngine(StrEnum):
    """Who searches the web for us."""

    NONE = ""
    SEARXNG = "searxng"
    BRAVE = "brave"
    TAVILY = "tavily"
    DUCKDUCKGO = "duckduckgo"


class FileStore(StrEnum):
    """Where the bytes of files are kept."""

    AUTO = "auto"
    FOLDER = "folder"
    GRIDFS = "gridfs"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One frozen record; field ``x_y`` is the environment variable ``PENSTOCK_X_Y``. Meanings: docs/settings.md."""

    host: str = "127.0.0.1"
    port: Port = 8080
    data_dir: Path = Path("data")
    secret_key: str = ""
    redis_url: str = ""
    redis_maxmemory_mb: Annotated[int, msgspec.Meta(ge=0)] = 0
    redis_appendfsync: Appendfsync = Appendfsync.EVERYSEC
    mongo_url: str = ""
    weaviate_url: str = ""
    weaviate_grpc_url: str = ""
    weaviate_api_key: str = ""
    openai_base_urls: tuple[str, ...] = ()
    openai_api_keys: tuple[str, ...] = ()
    ollama_base_urls: tuple[str, ...] = ()
    hf_endpoint: str = "https://huggingface.co"
    hf_token: str = ""
    local_models: tuple[Path, ...] = ()
    embedding_model: str = ""
    reranking_model: str = ""
    reranking_candidates: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    reranking_timeout_s: Positive = 30
    embedding_dtype: EmbeddingDtype = EmbeddingDtype.AUTO
    retrieval_top_k: Annotated[int, msgspec.Meta(ge=1, le=50)] = 5
    retrieval_tokens: Annotated[int, msgspec.Meta(ge=64)] = 4096
    default_user_role: Role = Role.USER
    rate_limit_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 100
    upload_rate_limit_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 3_000
    anonymous_rate_limit_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 60
    cors_origins: tuple[str, ...] = ()
    max_body_mb: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    max_upload_mb: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 2048
    upload_types: tuple[str, ...] = ()
    file_store: FileStore = FileStore.AUTO
    trusted_proxies: tuple[str, ...] = ()
    public_url: str = ""
    device: str = "auto"
    log_format: LogFormat = LogFormat.AUTO
    api_processes: Positive = 1
    token_days: Positive = 28
    max_batch: Positive = 32
    flush_ms: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 30
    lease_ms: Annotated[int, msgspec.Meta(ge=500, le=60000)] = 2000
    answer_timeout_s: Positive = 3600
    tool_rounds: Positive = 10
    drain_s: Positive = 30
    function_timeout_s: Annotated[int, msgspec.Meta(ge=1, le=240)] = 10
    function_cpu_s: Annotated[int, msgspec.Meta(ge=1, le=240)] = 5
    function_memory_mb: Annotated[int, msgspec.Meta(ge=16, le=1_048_576)] = 512
    worker_wait_s: Positive = 120
    upstream_timeout_s: Positive = 300
    web_search: SearchEngine = SearchEngine.NONE
    web_search_url: str = ""
    web_search_api_key: str = ""
    fetch_allow: tuple[str, ...] = ()
    fetch_only: tuple[str, ...] = ()
    models_refresh_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 60

    def __repr__(self) -> str:
        """Without what must not reach a log: keys, and the passwords inside URLs."""
        return f"Settings(host={self.host!r}, port={self.port}, data_dir={str(self.data_dir)!r})"


def load(overrides: dict[str, Any] | None = None, *, env_file: Path = Path(".env")) -> Settings:
    """Settings from the environment, over ``.env``, over defaults; ``overrides`` (command-line options) win over all.

    Raises SettingsError naming the variable, its value's fault and what is allowed.
    """
    found: dict[str, Any] = {}
    given = {**dotenv_values(env_file), **os.environ}
    for field in msgspec.structs.fields(Settings):
        value = given.get(PREFIX + field.name.upper())
        if value is not None and value.strip():
            found[field.name] = _split(value) if _is_list(field.type) else value.strip()
    found.update({name: value for name, value in (overrides or {}).items() if value is not None})
    try:
        settings = msgspec.convert(found, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(str(error))) from None
    return _check(settings)


def with_secret_key(settings: Settings) -> Settings:
    """The same settings with a secret key: the given one, else the one kept in the data folder, made at the first start.

    The file is readable by its owner only. Raises SettingsError where the folder cannot be written.
    """
    if settings.secret_key:
        return settings
    path = settings.data_dir / SECRET_KEY_FILE
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(48))
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        message = (
            f"The data folder {settings.data_dir} cannot be used ({error.strerror}). Set PENSTOCK_DATA_DIR to a folder you may write to."
        )
        raise SettingsError(message) from None
    return msgspec.structs.replace(settings, secret_key=key)


def _write_once(path: Path, text: str) -> None:
    """Several processes may start at once: the file that is linked first is everybody's."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is tuple


def _split(value: str) -> list[str]:
    """Comma-separated; an empty place stays, because keys stand in the order of their URLs."""
    return [part.strip() for part in value.split(",")]


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value).expanduser()
    raise NotImplementedError(kind)


def _explain(message: str) -> str:
    fault, _, where = message.partition(" - at `$.")
    name = where.rstrip("`").split("[")[0]
    return f"{PREFIX}{name.upper()}: {fault}. See docs/settings.md." if name else f"{fault}. See docs/settings.md."


def _check(settings: Settings) -> Settings:
    _check_neighbours(settings)
    _check_files(settings)
    for name in ("openai_base_urls", "ollama_base_urls"):
        for url in getattr(settings, name):
            if not _is_url(url):
                shown = url.rpartition("@")[2]  # not the password before it
                message = (
                    f"{PREFIX}{name.upper()}: {shown!r} is not a URL. Write http://host:port/v1 or https://…, several separated by commas."
                )
                raise SettingsError(message)
    if settings.public_url and not _is_url(settings.public_url):
        message = f"PENSTOCK_PUBLIC_URL: {settings.public_url!r} is not a URL. Write https://chat.example.com, as browsers see it."
        raise SettingsError(message)
    if not _is_url(settings.hf_endpoint):
        message = f"PENSTOCK_HF_ENDPOINT: {settings.hf_endpoint!r} is not a URL. Write https://…"
        raise SettingsError(message)
    keys, urls = settings.openai_api_keys, settings.openai_base_urls
    if len(keys) > len(urls):
        message = (
            f"PENSTOCK_OPENAI_API_KEYS has {len(keys)} keys for {len(urls)} URLs in PENSTOCK_OPENAI_BASE_URLS. "
            "Give one key for each URL, in the same order."
        )
        raise SettingsError(message)
    if 0 < settings.redis_maxmemory_mb < MIN_REDIS_MB:
        message = f"PENSTOCK_REDIS_MAXMEMORY_MB: give {MIN_REDIS_MB} or more, or 0 for a quarter of this machine's memory."
        raise SettingsError(message)
    _check_web_search(settings)
    _check_fetching(settings)
    if settings.secret_key and len(settings.secret_key.encode()) < MIN_SECRET_KEY_BYTES:
        message = f"PENSTOCK_SECRET_KEY is shorter than {MIN_SECRET_KEY_BYTES} bytes. Leave it out to have one made, or give a longer one."
        raise SettingsError(message)
    return settings


def _check_neighbours(settings: Settings) -> None:
    for origin in settings.cors_origins:
        if not _ORIGIN.fullmatch(origin):
            message = f"PENSTOCK_CORS_ORIGINS: {origin!r} is no origin. Write https://chat.example.com, several separated by commas, or *."
            raise SettingsError(message)
    for proxy in settings.trusted_proxies:
        if not _is_network(proxy):
            message = f"PENSTOCK_TRUSTED_PROXIES: {proxy!r} is no address or network. Write 10.0.0.7 or 10.0.0.0/8, several with commas."
            raise SettingsError(message)


def _check_web_search(settings: Settings) -> None:
    engine, url = settings.web_search, settings.web_search_url
    if url and not _is_url(url):
        message = f"PENSTOCK_WEB_SEARCH_URL: {url.rpartition('@')[2]!r} is not a URL. Write http://host:port or https://…"
        raise SettingsError(message)
    if engine is SearchEngine.SEARXNG and not url:
        message = "PENSTOCK_WEB_SEARCH is searxng, so PENSTOCK_WEB_SEARCH_URL must say where it is: http://host:port."
        raise SettingsError(message)
    if engine in {SearchEngine.BRAVE, SearchEngine.TAVILY} and not settings.web_search_api_key:
        message = f"PENSTOCK_WEB_SEARCH is {engine}, so PENSTOCK_WEB_SEARCH_API_KEY must be set."
        raise SettingsError(message)


def _check_fetching(settings: Settings) -> None:
    for rule in settings.fetch_allow:
        try:
            FetchRule.parse(rule)
        except ValueError:
            message = f"PENSTOCK_FETCH_ALLOW: {rule!r} is no host or network. Write wiki.example.com, 10.0.0.0/8, or wiki.example.com:8443."
            raise SettingsError(message) from None
    for host in settings.fetch_only:
        if not HOST.fullmatch(host.removeprefix("*.")):
            message = f"PENSTOCK_FETCH_ONLY: {host!r} is no host. Write docs.example.com, or *.example.com for all that end so."
            raise SettingsError(message)


def _check_files(settings: Settings) -> None:
    for wanted in settings.upload_types:
        if not _MEDIA_TYPE.fullmatch(wanted):
            message = f"PENSTOCK_UPLOAD_TYPES: {wanted!r} is no media type. Write application/pdf or text/*, several separated by commas."
            raise SettingsError(message)
    if settings.file_store is FileStore.GRIDFS and not settings.mongo_url:
        message = "PENSTOCK_FILE_STORE: gridfs needs a MongoDB. Set PENSTOCK_MONGO_URL, or leave it at auto."
        raise SettingsError(message)


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_network(value: str) -> bool:
    try:
        ip_network(value, strict=False)
    except ValueError:
        return False
    return True
