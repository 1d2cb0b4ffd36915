"""A few hundred short passages of real text, with vectors that mean nothing but are always the same."""

import math
import random
import re
from collections.abc import Iterable
from pathlib import Path

from core.storage.vectors.port import Passage, Point, pack, unpack

DIMENSIONS = 20  # no whole number of bytes of bits
LICENSE = Path(__file__).parents[4] / "LICENSE"
OTHERS = (
    "C++ and C# are languages; so is plain C.",
    "The IT department moved to the second floor.",
    "It rained for three days in Straßburg.",
    "The final report is in final_report.txt, the draft in report.txt.",
    "東京都の天気は晴れです。",
    "京都は日本の古い都です。",
    "我们在北京学习机器学习。",
    "한국어 문서를 검색합니다.",
    "ภาษาไทยไม่มีช่องว่าง",
    "हिन्दी में लिखा हुआ वाक्य",
    "Café au lait, naïve façade, Ωmega.",
    'He said "OR", then NEAR(a b) AND NOT c*; nobody knew what ^ meant.',
    "Zero \u0000 bytes and emoji 😀 are text, too.",
    "!!! ??? …",
)


def sentences() -> list[str]:
    """The licence's clauses, each once, and what is hard for a search engine."""
    text = re.sub(r"\s+", " ", LICENSE.read_text(encoding="utf-8"))
    clauses = (clause.strip() for clause in re.split(r"(?<=[.;:,])\s", text))
    return [*dict.fromkeys(clause for clause in clauses if len(clause) > 20), *OTHERS]


def vector(text: str) -> bytes:
    """Of length 1, in a direction that depends on the text alone."""
    draw = random.Random(text)
    values = [draw.gauss(0, 1) for _ in range(DIMENSIONS)]
    length = math.hypot(*values)
    return pack([value / length for value in values])


def point(text: str, key: str, *, collection: str = "base", file: str = "file", generation: int = 1) -> Point:
    """A text as a point."""
    passage = Passage(id=key, collection=collection, file=file, generation=generation, position=0, text=text)
    return Point(passage=passage, vector=vector(text))


def points(*, files: int = 7, collection: str = "base", generation: int = 1) -> list[Point]:
    """The corpus, dealt out to some files."""
    dealt = enumerate(sentences())
    return [point(text, f"p{number:04}", collection=collection, file=f"f{number % files}", generation=generation) for number, text in dealt]


def cosine(one: bytes, other: bytes) -> float:
    """Of two vectors of any length but none."""
    a, b = unpack(one), unpack(other)
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def nearest(among: Iterable[Point], wanted: bytes) -> list[tuple[str, float]]:
    """By brute force: ids with scores, best first."""
    scored = ((each.passage.id, round((1 + cosine(each.vector, wanted)) / 2, 6)) for each in among)
    return sorted(scored, key=lambda item: (-item[1], item[0]))
