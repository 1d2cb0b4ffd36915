"""Documents to be ingested: Markdown out of Python's own help, no two of them alike; made by ``documents``."""

import random
from pathlib import Path
from pydoc_data.topics import topics

SHORTEST = 80  # characters of a paragraph
SECTION = 2_000  # characters between two headings


def documents(folder: Path, count: int, size: int, seed: int = 0) -> list[Path]:
    """Write ``count`` files of some ``size`` bytes below ``folder``. ``sign`` tells what only one of them says."""
    numbers = random.Random(seed)  # noqa: S311 - the same documents in every run
    paragraphs = [text for topic in topics.values() for text in topic.split("\n\n") if len(text) >= SHORTEST]
    folder.mkdir(parents=True)
    made = []
    for number in range(count):
        parts, written, headed = [f"# Document {number}\n\nIts sign is {sign(seed, number)}."], 0, 0
        while written < size:
            if written - headed >= SECTION:
                parts.append(f"## Part {len(parts)}")
                headed = written
            parts.append(numbers.choice(paragraphs))
            written += len(parts[-1]) + 2
        path = folder / f"{number:05}.md"
        path.write_text("\n\n".join(parts), encoding="utf-8")
        made.append(path)
    return made


def sign(seed: int, number: int) -> str:
    """A word that stands in one document only."""
    return f"zq{seed}x{number:05}"
