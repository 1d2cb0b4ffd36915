"""What must not be in the repository is not in it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "tests/clients/package-lock.json")
ADDRESS = re.compile(r"https?://")
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "proxy.golang" + ".org")
REGISTRY_QUESTIONS = (("npm", "config", "get", "registry"), ("go", "env", "GOPROXY"))


def tracked() -> dict[str, str]:
    """The text files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    found = {}
    for name in filter(None, listed):
        data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in data:
            found[name] = data.decode(errors="replace")
    return found


def registries() -> set[str]:
    """Hosts that packages come from, here and by default."""
    hosts = set(REGISTRIES)
    for question in REGISTRY_QUESTIONS:
        if shutil.which(question[0]):
            answer = subprocess.run(question, capture_output=True, text=True, check=False, cwd=ROOT).stdout
            hosts |= set(re.findall(r"https?://([^/,\s:]+)", answer))
    return hosts


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_hold_no_addresses(name: str) -> None:
    found = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if ADDRESS.search(line)]
    assert found == []


def test_no_host_of_a_package_registry_is_written_down() -> None:
    hosts = registries()
    assert [(name, host) for name, text in tracked().items() for host in hosts if host in text] == []


def test_no_path_of_this_machine_is_written_down() -> None:
    places = [f"{place}/" for place in (ROOT, Path.home()) if len(place.parts) > 1]
    assert [(name, place) for name, text in tracked().items() for place in places if place in text] == []


def test_no_file_is_large() -> None:
    assert [name for name, text in tracked().items() if len(text) > 2_000_000] == []
