"""The embedder in bfloat16, in float32, and transformers' module in batches of 32: ``python -m benchmarks.bfloat16``.

Texts go through the whole embedder, as ids. transformers is given the same ids, longest first and padded in batches, as
sentence-transformers does it. By turns, and the best of several, in processor time: others use this machine, too. What bfloat16 changes is
looked at in the documentation: its headings and sections, and whether a heading finds its own.
"""

import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from benchmarks import children
from benchmarks.embedder_process import WORDS
from benchmarks.rows import Row, show
from core.models.embeddings import EmbeddingDtype
from core.settings import Settings

if TYPE_CHECKING:
    from gpu.embedder import Embedder

ROUNDS = 4
TOKENS = 2_500
BATCH = 32
FIRST, LAST = 101, 102  # BERT's marks at both ends, which the embedder adds itself
DOCUMENTS = Path(__file__).parent.parent / "docs"
LONGEST = 500  # characters, fewer than 256 tokens
OURS, EXACT, THEIRS, THEIRS_TOO = "bfloat16", "float32", "transformers in float32", "transformers in bfloat16"

Texts = list[list[int]]
Embed = Callable[[Texts], object]


class Taken(msgspec.Struct):
    """The best of some rounds: tokens a second, and a second of processor time."""

    speed: float = 0.0
    cpu_speed: float = 0.0


async def measure() -> AsyncGenerator[Row, None]:
    """Measured in a child."""
    with tempfile.TemporaryDirectory() as folder:
        async for row in children.measured("benchmarks.bfloat16", folder):
            yield row


def _rows(folder: Path) -> Iterator[Row]:
    import torch  # noqa: PLC0415 - after the environment is made

    numbers = random.Random(0)  # noqa: S311 - the same texts each time
    mixed = [numbers.randint(1, 248) for _ in range(TOKENS // 125)]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        sides = {
            OURS: _ours(folder, EmbeddingDtype.BFLOAT16, threads),
            EXACT: _ours(folder, EmbeddingDtype.FLOAT32, threads),
            THEIRS: _transformers(torch.float32),
            THEIRS_TOO: _transformers(torch.bfloat16),
        }
        for what, lengths in (("of 250 tokens", [248] * (TOKENS // 250)), ("of mixed lengths", mixed)):
            texts = [numbers.choices(WORDS, k=length) for length in lengths]
            yield from _compared(f"texts {what}, {threads} thread{'s' * (threads > 1)}", _by_turns(sides, texts))
    yield from _nearness(_embedder(folder, EmbeddingDtype.BFLOAT16, 1), _embedder(folder, EmbeddingDtype.FLOAT32, 1))


def _by_turns(sides: Mapping[str, Embed], texts: Texts) -> dict[str, Taken]:
    found = {name: Taken() for name in sides}
    tokens = sum(len(text) + 2 for text in texts)
    for embed in sides.values():
        embed(texts[:BATCH])
    for turn in range(ROUNDS):
        for name in sorted(sides, reverse=bool(turn % 2)):
            began, used = time.perf_counter(), time.process_time()
            sides[name](texts)
            took, used = time.perf_counter() - began, time.process_time() - used
            found[name].speed = max(found[name].speed, tokens / took)
            found[name].cpu_speed = max(found[name].cpu_speed, tokens / used)
    return found


def _compared(what: str, found: Mapping[str, Taken]) -> Iterator[Row]:
    ours, load = found[OURS], os.getloadavg()[0]
    for other, bound in ((EXACT, 2.0), (THEIRS, 1.4), (THEIRS_TOO, None)):
        their = found[other]
        yield Row(
            what=f"embedder in bfloat16, tokens per CPU-second against {other}, {what}",
            measured=ours.cpu_speed / their.cpu_speed,
            at_least=bound,
            note=f"{_told(ours, their)}; load {load:.1f}",
        )
    exact, their = found[EXACT], found[THEIRS]
    yield Row(
        what=f"embedder in float32, tokens per CPU-second against {THEIRS}, {what}",
        measured=exact.cpu_speed / their.cpu_speed,
        note=_told(exact, their),
    )


def _told(mine: Taken, their: Taken) -> str:
    return f"{mine.cpu_speed:.0f} / {their.cpu_speed:.0f}; tokens/s {mine.speed:.0f} / {their.speed:.0f}"


def _embedder(folder: Path, dtype: EmbeddingDtype, threads: int) -> "Embedder":
    from gpu.device_lock import DeviceLock  # noqa: PLC0415 - as above
    from gpu.embedder import Embedder  # noqa: PLC0415
    from gpu.sources import embedder  # noqa: PLC0415

    source = embedder()
    assert source, "the embedding model is not installed"
    return Embedder(source, Settings(data_dir=folder, device="cpu", embedding_dtype=dtype), device_lock=DeviceLock(), threads=threads)


def _ours(folder: Path, dtype: EmbeddingDtype, threads: int) -> Embed:
    made = _embedder(folder, dtype, threads)
    return lambda texts: asyncio.run(made.embed(texts))


def _transformers(dtype: Any) -> Embed:
    """As ``SentenceTransformer.encode(batch_size=32)`` has it computed."""
    import torch  # noqa: PLC0415 - as above
    from transformers import AutoModel  # noqa: PLC0415

    from gpu.sources import embedder  # noqa: PLC0415

    source = embedder()
    assert source
    model = AutoModel.from_pretrained(source.path, dtype=dtype).eval()

    @torch.inference_mode()
    def embed(texts: Texts) -> None:
        whole = sorted(([FIRST, *text, LAST] for text in texts), key=len, reverse=True)
        for start in range(0, len(whole), BATCH):
            some = whole[start : start + BATCH]
            ids = torch.tensor([text + [0] * (len(some[0]) - len(text)) for text in some])
            mask = torch.tensor([[1] * len(text) + [0] * (len(some[0]) - len(text)) for text in some])
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            torch.nn.functional.normalize(pooled.float(), dim=1)

    return embed


def _nearness(ours: "Embedder", exact: "Embedder") -> Iterator[Row]:
    sections = [part for path in sorted(DOCUMENTS.rglob("*.md")) for part in _sections(path)]
    headings, bodies = [heading for heading, _ in sections], [body for _, body in sections]
    vectors = {}
    for name, embedder in (("ours", ours), ("exact", exact)):
        data = [asyncio.run(embedder.embed(texts))[0] for texts in (headings, bodies)]
        vectors[name] = [np.frombuffer(each, "<f4").reshape(len(sections), -1) for each in data]
    cosines = np.concatenate([(one * other).sum(1) for one, other in zip(vectors["ours"], vectors["exact"], strict=True)])
    yield Row(
        what="1 - cosine of bfloat16 to float32, the highest over headings and sections of docs/",
        measured=float(1 - cosines.min()),
        at_most=0.0002,
        note=f"mean {1 - cosines.mean():.2g}, {len(cosines)} texts",
    )
    ranks = {name: _mean_reciprocal_rank(*both) for name, both in vectors.items()}
    yield Row(
        what="MRR of headings that look for their own section, how far apart in bfloat16 and float32",
        measured=abs(ranks["ours"] - ranks["exact"]),
        at_most=0.005,
        note=f"{ranks['ours']:.4f} / {ranks['exact']:.4f}, {len(sections)} sections",
    )


def _sections(path: Path) -> Iterator[tuple[str, str]]:
    """A page's headings with the beginning of what stands below each."""
    for part in re.split(r"^#+ ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        if body.strip():
            yield heading, body.strip()[:LONGEST]


def _mean_reciprocal_rank(queries: "np.ndarray[Any, Any]", passages: "np.ndarray[Any, Any]") -> float:
    scores = queries @ passages.T
    return float((1 / (scores >= scores.diagonal()[:, None]).sum(1)).mean())


def main() -> None:
    """As a child: what it measures in the folder that it is given. Else a table."""
    if sys.argv[1:]:
        children.tell(_rows(Path(sys.argv[1])))
    else:
        asyncio.run(show(measure()))


if __name__ == "__main__":
    main()
