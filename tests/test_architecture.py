"""The packages are as the house style and docs/architecture.md say."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.architecture import PACKAGES, PAGE, ROOT, render_page

MAX_LINES = 300
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
CORE = {
    *("services", "jobs", "events", "storage", "redis", "chat_documents", "security"),
    *("logging", "settings", "models", "json", "ids", "errors", "collector"),
}
TORCH_FREE = (
    "api.app",
    "workers.runtimes.pools",
    "schema",
    "pipelines.upstreams.upstreams",
    "gpu",
    "gpu.environment",
    "gpu.sources",
    "penstock.cli",
    "penstock.ingest",
    "penstock.status",
    "penstock.up",
)
HEAVY = {"torch", "transformers", "numpy"}


def modules() -> list[Path]:
    """Every Python file of the repository."""
    return sorted(
        path
        for package in (*PACKAGES, "benchmarks", "scripts", "tests")
        for path in (ROOT / package).rglob("*.py")
        if "node_modules" not in path.parts
    )


def test_every_module_is_on_the_architecture_page() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_page(), "a module came, went or changed its first sentence: run `make docs`"


def test_core_is_the_closed_list_that_the_page_draws() -> None:
    found = {path.stem for path in (ROOT / "core").iterdir() if path.stem not in {"__init__", "__pycache__"}}
    drawn = re.search(r"^    core .*: (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert drawn
    assert found == CORE == set(drawn[1].split())


def test_what_the_page_tells_of_is_there() -> None:
    told = PAGE.read_text(encoding="utf-8").partition("\n## The modules")[0]
    planned = re.search(r"^## A file's way\n.*?(?=^## )", told, re.MULTILINE | re.DOTALL)
    assert planned
    built = told.replace(planned[0], "")
    assert [
        path for path in re.findall(r"`((?:api|core|docs|gpu|pipelines|schema|workers)/[\w/.]+)`", built) if not (ROOT / path).exists()
    ] == []
    named = re.findall(r"`(\w+)` in `([\w/]+\.py)`", built)
    assert named
    assert [(name, path) for name, path in named if not re.search(rf"\b{name}\b", (ROOT / path).read_text(encoding="utf-8"))] == []


def test_every_module_has_a_noun_for_its_name() -> None:
    assert [path for path in modules() if path.stem in NAMELESS] == []


def test_every_module_can_be_read_in_one_go() -> None:
    assert [path for path in modules() if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES] == []


def imported_with(name: str) -> set[str]:
    """The top-level packages that a fresh process has after importing a module."""
    code = f"import sys, {name}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("name", TORCH_FREE)
def test_what_runs_without_a_device_starts_without_torch(name: str) -> None:
    assert not imported_with(name) & HEAVY


def test_the_web_process_never_imports_an_actor() -> None:
    assert "workers" not in imported_with("api.app")


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX)\b")
    left = [str(path.relative_to(ROOT)) for path in modules() if path != Path(__file__) and later.search(path.read_text(encoding="utf-8"))]
    assert left == []


def test_every_public_package_says_what_it_is() -> None:
    silent = [
        package for package in PACKAGES if not ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")))
    ]
    assert silent == []
