"""Settings that cannot be used end the start with one line."""

from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import load


@pytest.mark.parametrize("name", ["openai_base_urls", "ollama_base_urls", "public_url", "hf_endpoint"])
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
