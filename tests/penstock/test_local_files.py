"""Which files of a folder are taken."""

from pathlib import Path

import pytest

from core.errors import SettingsError
from penstock import local_files
from penstock.local_files import Choice, LocalFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for path in ("a.md", "b.txt", "deep/a.md", "deep/er/c.md", "node_modules/d.md", ".env", ".git/e.md", ".hidden/f.md"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), {"a.md", "b.txt", "deep/a.md", "deep/er/c.md", "node_modules/d.md"}),
        (Choice(include=("*.md",), exclude=("node_modules",)), {"a.md", "deep/a.md", "deep/er/c.md"}),
        (Choice(include=("deep/*",)), {"deep/a.md", "deep/er/c.md"}),
        (Choice(exclude=("deep/er/", "*.txt", "node*")), {"a.md", "deep/a.md"}),
        (Choice(include=("?.md",), exclude=("deep", "node_modules"), hidden=True), {"a.md", ".hidden/f.md"}),
    ],
)
def test_patterns_describe_names_and_paths(folder: Path, choice: Choice, expected: set[str]) -> None:
    found = local_files.find([folder], choice)
    assert {path.removeprefix("docs/") for path in found.found} == expected
    assert found.unreadable == {}


def test_a_file_by_itself_has_its_name_as_its_path_and_a_folder_is_called_as_it_really_is(folder: Path) -> None:
    found = local_files.find([folder / "b.txt", folder / "deep" / ".."], Choice(include=("b.txt",)))
    assert set(found.found) == {"b.txt", "docs/b.txt"}
    assert found.scopes == ("docs/",)


def test_a_stamp_changes_with_the_file(folder: Path) -> None:
    before = local_files.find([folder], Choice()).found["docs/a.md"]
    (folder / "a.md").write_text("a.mD")
    (folder / "a.md").rename(folder / "old.md")
    (folder / "a.md").write_text("a.md")
    after = local_files.find([folder], Choice()).found["docs/a.md"]
    assert (before.size, before.stamp != after.stamp) == (after.size, True)


def test_only_what_was_looked_for_and_not_found_is_gone() -> None:
    files = LocalFiles(found={}, unreadable={"docs/locked": "Permission denied", "docs/b.md": "Permission denied"}, scopes=("docs/",))
    paths = ("docs/a.md", "docs/locked/a.md", "docs/locked.md", "docs/b.md", "other/a.md", "docs.md")
    assert [path for path in paths if files.lack(path)] == ["docs/a.md", "docs/locked.md"]


def test_a_folder_that_vanishes_is_named_and_nothing_below_it_is_gone(folder: Path) -> None:
    choice, files = Choice(), LocalFiles(scopes=("docs/",))
    assert [below for below, _ in local_files._walk(folder / "vanished", choice, files)] == []
    assert files.unreadable == {"vanished": "No such file or directory"}


def test_paths_that_are_not_there_are_refused(folder: Path) -> None:
    local_files.check([folder, folder / "a.md"])
    for wrong in ([folder / "nowhere"], [folder / "a.md", folder / "deep" / "a.md"], [Path("/dev/null")]):
        with pytest.raises(SettingsError):
            local_files.check(wrong)
