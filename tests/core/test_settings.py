"""Settings that cannot be used end the start with one line."""

from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import load


@pytest.mark.parametrize("name", ["openai_base_urls", "ollama_base_urls", "public_url", "hf_endpoint", "web_search_url"])
@pytest.mark.parametrize("url", ["host:11434", "http://", "http://[::1", "http://host:port/v1", "ftp://host", "http://host:99999"])
def test_what_is_no_url_is_named(name: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"PENSTOCK_{name.upper()}: .*is not a URL"):
        load({name: [url] if name.endswith("urls") else url}, env_file=tmp_path / ".env")


def test_a_password_in_it_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load({"ollama_base_urls": ["ann:s3cret@host:11434"]}, env_file=tmp_path / ".env")
    assert "s3cret" not in refused.value.detail


@pytest.mark.parametrize("url", ["http://[::1]:11434", "https://ann:s3cret@host/v1", "http://host"])
def test_what_is_one_is_taken(url: str, tmp_path: Path) -> None:
    assert load({"ollama_base_urls": [url]}, env_file=tmp_path / ".env").ollama_base_urls == (url,)


@pytest.mark.parametrize(("name", "value"), [("redis_maxmemory_mb", 63), ("redis_maxmemory_mb", -1), ("redis_appendfsync", "no")])
def test_a_redis_that_could_not_work_or_would_forget_is_refused(name: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"PENSTOCK_{name.upper()}: "):
        load({name: value}, env_file=tmp_path / ".env")


@pytest.mark.parametrize(("engine", "wanting"), [("searxng", "URL"), ("brave", "API_KEY"), ("tavily", "API_KEY")])
def test_a_search_engine_without_what_it_needs_is_refused(engine: str, wanting: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"PENSTOCK_WEB_SEARCH is {engine}, so PENSTOCK_WEB_SEARCH_{wanting} must"):
        load({"web_search": engine}, env_file=tmp_path / ".env")


def test_a_search_engine_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_WEB_SEARCH: "):
        load({"web_search": "altavista"}, env_file=tmp_path / ".env")


@pytest.mark.parametrize("kind", ["pdf", "*", "*/*", "text/", "/plain", "text/*x", "text /plain", "application/pdf; charset=utf-8"])
def test_what_is_no_media_type_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PENSTOCK_UPLOAD_TYPES: .*is no media type"):
        load({"upload_types": ["text/*", "application/vnd.oasis.opendocument.text", kind]}, env_file=tmp_path / ".env")


def test_gridfs_needs_a_mongodb(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_FILE_STORE: gridfs needs a MongoDB"):
        load({"file_store": "gridfs"}, env_file=tmp_path / ".env")
    assert load({"file_store": "gridfs", "mongo_url": "mongodb://host/penstock"}, env_file=tmp_path / ".env").file_store == "gridfs"


@pytest.mark.parametrize(
    "rule",
    [
        "wiki.example.com",
        "10.0.0.0/8",
        "10.1.2.3",
        "10.1.2.3/8",
        "wiki:8443",
        "10.0.0.0/8:8080",
        "fd00::/8",
        "::1",
        "[fd00::/8]:8080",
        "[::1]",
    ],
)
def test_what_may_be_fetched_is_a_host_or_a_network(rule: str, tmp_path: Path) -> None:
    assert load({"fetch_allow": [rule]}, env_file=tmp_path / ".env").fetch_allow == (rule,)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "*",
        "http://wiki",
        "wiki/",
        "10.0.0.0/33",
        "10.0.0",
        "wiki:0",
        "wiki:65536",
        "wiki:x",
        "[wiki]:80",
        "a b",
        "wiki..lan",
        "bücher.example",
    ],
)
def test_what_is_no_host_or_network_is_named(rule: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PENSTOCK_FETCH_ALLOW: .*is no host or network"):
        load({"fetch_allow": [rule]}, env_file=tmp_path / ".env")


@pytest.mark.parametrize("host", ["", "*", "*.", "https://docs.example.com", "docs.example.com:443", "10.0.0.0/8", "a.*.example.com"])
def test_what_is_no_host_to_be_restricted_to_is_named(host: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PENSTOCK_FETCH_ONLY: .*is no host"):
        load({"fetch_only": ["*.example.org", host]}, env_file=tmp_path / ".env")
