"""Collections with questions of which it is known what answers them: the Python documentation, WordNet, and the Lee documents."""

import random
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from benchmarks.fetched import debian, python_documentation, wheel
from core.errors import BadRequest
from core.models.documents import Element, ElementKind, ParsedDocument
from core.models.knowledge import Chunking
from pipelines.ingestion import cut
from pipelines.parsing import parse

GENERATED = re.compile(r"(?:genindex|py-modindex|search|contents|_static/).*")  # lists of where things stand
GENSIM = "gensim==4.4.0"
LEE = "gensim/test/test_data/"
SENSES = 3_000
ASKED_SENSES = 500
PART_OF_SPEECH = ("noun", "verb", "adj", "adv")
RATINGS = 5  # the matrix has mean ratings of 1 to 5, divided by 5
HALFWAY = 2  # between "unrelated", 0, and "as good as the same", 4


class Part(msgspec.Struct, frozen=True):
    """What is embedded and found as one. ``item``: that which it is a part of."""

    item: str
    text: str

    @property
    def file(self) -> str:
        """The file that it would be in."""
        return self.item.partition("#")[0]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A collection. ``gains``: of each question's items, how much they answer it; from ``relevant`` on, they are what is looked for.

    ``itself``: a question's own item, where it has one that is not to be counted.
    """

    name: str
    parts: list[Part]
    questions: dict[str, str]
    gains: dict[str, dict[str, int]]
    relevant: int = 1
    itself: dict[str, str] = {}


async def judged_collections(tokenizer: bytes, context_length: int) -> AsyncIterator[Judged]:
    """One after the other; documents are cut by this tokenizer for a model that takes so many tokens."""
    yield await lee()
    yield await wordnet()
    yield await python_faq(tokenizer, context_length)


async def python_faq(tokenizer: bytes, context_length: int) -> Judged:
    """Questions of the FAQ, which are its headings, over the whole documentation; their sections are what is looked for.

    A section is read without its own heading.
    """
    root = await python_documentation()
    parts, questions = list[Part](), dict[str, str]()
    for path in sorted(root.rglob("*.html")):
        page = path.relative_to(root).as_posix()
        if GENERATED.fullmatch(page):
            continue
        try:
            document = parse(path, path.name)
        except BadRequest:
            continue  # a page without text
        for place, (question, elements) in enumerate(_sections(document) if page.startswith("faq/") else [("", document.elements)]):
            item = f"{page}#{place}"
            chunks = cut(ParsedDocument(format=document.format, elements=tuple(elements)), tokenizer, Chunking(), context_length)
            parts.extend(Part(item if question else f"{item} {chunk.headings}", chunk.text) for chunk in chunks)
            if question and chunks:
                questions[item] = question
    return Judged(name="Python's FAQ in its documentation", parts=parts, questions=questions, gains={item: {item: 1} for item in questions})


def _sections(document: ParsedDocument) -> Iterator[tuple[str, list[Element]]]:
    """A page of the FAQ: what each question says, below the headings above it; first, without a question, what stands in none."""
    others, above = list[Element](), list[Element]()
    found = list[tuple[Element, list[Element]]]()
    inside = False
    for element in document.elements:
        if element.kind is ElementKind.TITLE:
            above = [title for title in above if title.level < element.level]
            inside = inside and element.level > found[-1][0].level
            if element.text.endswith("?") and not inside:
                found.append((element, [*above]))
                inside = True
                continue
            above.append(element)
        (found[-1][1] if inside else others).append(element)
    yield "", others
    for question, elements in found:
        yield question.text, elements


async def wordnet() -> Judged:
    """Definitions, each of which is looked for by what it says: its entry has the words that it defines, and sentences with them."""
    folder = await debian("wordnet-base")
    entries = [entry for part in PART_OF_SPEECH for entry in _entries(folder / f"usr/share/wordnet/data.{part}")]
    chosen = random.Random(0).sample(entries, SENSES)  # noqa: S311 - the same in every run
    asked = {str(place): chosen[place][0] for place in range(SENSES - ASKED_SENSES, SENSES)}  # the weight was chosen by the first ones
    return Judged(
        name="WordNet's definitions",
        parts=[Part(str(place), entry) for place, (_, entry) in enumerate(chosen)],
        questions=asked,
        gains={place: {place: 1} for place in asked},
    )


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Definitions with their entries."""
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(" "):
            continue  # the licence
        facts, _, gloss = line.partition(" | ")
        _, _, _, count, *rest = facts.split()
        names = [re.sub(r"\(\w+\)$", "", name).replace("_", " ") for name in rest[: 2 * int(count, 16) : 2]]
        definition, *sentences = re.split(r"; (?=\")", gloss.strip())
        yield definition, "\n".join((", ".join(names), *sentences))


async def lee() -> Judged:
    """News of which people said how much alike they are; each is looked for the others by."""
    archive = await wheel(GENSIM)
    texts = archive.read(f"{LEE}lee.cor").decode("cp1252").strip().splitlines()
    matrix = [[float(mean) for mean in line.split()] for line in archive.read(f"{LEE}similarities0-1.txt").decode().splitlines()]
    both = range(len(texts))
    gains = {
        str(one): {str(other): round(matrix[min(one, other)][max(one, other)] * RATINGS) - 1 for other in both if other != one}
        for one in both
    }
    asked = {one: others for one, others in gains.items() if max(others.values()) >= HALFWAY}
    return Judged(
        name="Lee's documents",
        parts=[Part(str(place), text) for place, text in enumerate(texts)],
        questions={one: texts[int(one)] for one in asked},
        gains=asked,
        relevant=HALFWAY,
        itself={one: one for one in asked},
    )
