"""Writes the module list of docs/architecture.md: one line per module, from the first sentence of its docstring."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("penstock", "api", "workers", "schema", "pipelines", "gpu", "core")
BEGIN, END = "<!-- modules: written by `make docs` -->\n", "<!-- end of modules -->\n"


def render_page() -> str:
    """The page with its module list as it should be."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "".join(map(_table, PACKAGES)) + "\n" + END + rest.split(END)[1]


def _table(name: str) -> str:
    lines = [f"| `{path.relative_to(ROOT)}` | {_sentence(path)} |\n" for path in sorted((ROOT / name).rglob("*.py"))]
    return f"\n### {name}\n\n| module | what it is |\n|---|---|\n{''.join(lines)}"


def _sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line; nothing where the name is enough."""
    paragraph = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
    first = re.split(r"(?<=\.)\s", " ".join(paragraph.split()), maxsplit=1)[0]
    return first.rstrip(".").replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is written.\n")
