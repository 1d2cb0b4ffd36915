import subprocess

import pypandoc
import pytest

from tests.pipelines.parsing.reading import outline, read, refuse, tables

MARKDOWN = "# Pumps\n\nChange oil^[Yearly.].\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n3. third\n"


def write(kind: str) -> bytes:
    command = [pypandoc.get_pandoc_path(), "--from=markdown", f"--to={kind}", "--standalone", "--output=-"]
    return subprocess.run(command, input=MARKDOWN.encode(), capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", ["odt", "epub", "rtf"])
def test_headings_tables_lists_and_footnotes_are_read(kind: str) -> None:
    document = read(f"a.{kind}", write(kind))
    assert document.format == kind
    assert ("title", "Pumps") in outline(document) or kind == "rtf"
    assert tables(document)[0].rows[-1] == ("1", "2")
    assert any(text.endswith("third") for _, text in outline(document))
    assert any("Yearly." in text for _, text in outline(document))


def test_truncated_files_are_refused() -> None:
    for kind in ("odt", "epub"):
        content = write(kind)
        assert "damaged or ends too early" in refuse(f"a.{kind}", content[: len(content) // 2])
