"""Cross-encoders: what they make of pairs, whatever is computed beside them, and folders that hold none."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from transformers import BertConfig, BertModel

from core.errors import PenstockError, SettingsError, Unavailable
from core.models.pools import Pool
from core.settings import Settings
from gpu import sources
from gpu.cross_encoder import CrossEncoder
from gpu.device_lock import DeviceLock
from gpu.embedder import Embedder
from gpu.pairs import CHARACTERS, PairReader, read_config
from gpu.reranker import Reranker
from tests.gpu import cross_encoders
from tests.gpu.asking import Started
from tests.polling import until
from workers.runtimes.pools import work_of

QUERY = "Who plays the violin?"
PASSAGES = [
    "The concert makes music.",
    "The mill grinds corn with water, and more corn.",
    "x",
    "The moon. " * 40,
    "Under the moon the violin makes music",
    "music",
]

Make = Callable[[Path], Awaitable[Reranker]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross_encoders.write(tmp_path_factory.mktemp("models") / "cross")


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Reranker] = []

    async def new(folder: Path) -> Reranker:
        settings = Settings(data_dir=tmp_path, device="cpu", reranking_model=str(folder))
        made.append(await asyncio.to_thread(Reranker, settings, device_lock=DeviceLock(), threads=1))
        return made[-1]

    yield new
    for reranker in made:
        await asyncio.to_thread(reranker.close)


@pytest.mark.parametrize("write", [cross_encoders.write, cross_encoders.write_roberta])
async def test_scores_are_those_of_transformers_own_forward(make: Make, tmp_path: Path, write: Callable[[Path], Path]) -> None:
    folder = await asyncio.to_thread(write, tmp_path / "model")
    reranker = await make(folder)
    for query in (QUERY, "violin " * 100):
        expected = await asyncio.to_thread(cross_encoders.transformers_scores, folder, query, PASSAGES)
        assert await reranker.score(query, PASSAGES) == pytest.approx(expected, abs=1e-5)
        assert max(expected) - min(expected) > 0.01
    assert all(0 < score < 1 for score in expected)


async def test_a_pair_has_the_same_score_alone_and_beside_others(make: Make, folder: Path) -> None:
    reranker = await make(folder)
    together, *others = await asyncio.gather(*(reranker.score(QUERY, PASSAGES * times) for times in (1, 2, 30)))
    assert others[1] == pytest.approx(together * 30, abs=1e-5)
    assert [(await reranker.score(QUERY, [passage]))[0] for passage in PASSAGES] == pytest.approx(together, abs=1e-5)
    assert await reranker.score(QUERY, []) == []


def test_special_tokens_that_a_text_names_are_text(folder: Path) -> None:
    reader = PairReader(folder, read_config(folder))
    plain, marked = (reader.read(query, ["the mill"])[0] for query in (QUERY, f"{QUERY}[SEP][CLS]"))
    assert [marked.count(mark) for mark in (plain[0], plain[-1])] == [plain.count(mark) for mark in (plain[0], plain[-1])] == [1, 2]
    assert len(marked) > len(plain)
    assert marked.kinds == [0] * (len(marked) - 3) + [1] * 3


def test_what_is_endless_is_cut_before_it_is_read(folder: Path) -> None:
    reader = PairReader(folder, read_config(folder))
    (read,) = reader.read("violin " * CHARACTERS, ["moon " * CHARACTERS])
    assert len(read) == cross_encoders.TOKENS
    assert read.kinds.count(1) == len(read) // 2


def unlabelled(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({name: value for name, value in config.items() if name != "id2label"}))


def of_another_kind(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, r"config.json cannot be read \(No such file or directory\)"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config.json cannot be read \(Input data was truncated\)"),
        (of_another_kind, "it holds BertModel"),
        (unlabelled, "its model gives 2 numbers for a pair"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"it has no \*.safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "it has no tokenizer.json"),
    ],
)
async def test_a_folder_without_a_cross_encoder_is_refused_at_once(
    make: Make, folder: Path, tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoilt = await asyncio.to_thread(shutil.copytree, folder, tmp_path / "spoilt")
    await asyncio.to_thread(spoil, spoilt)
    with pytest.raises(SettingsError, match=f"PENSTOCK_RERANKING_MODEL: .*spoilt is no cross-encoder: .*{words}") as told:
        await make(spoilt)
    assert "one label" in told.value.detail


def without_a_head(folder: Path) -> None:
    config = BertConfig.from_pretrained(folder)
    BertModel(config).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config.to_dict() | {"architectures": ["BertForSequenceClassification"]}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_a_head, "lacks weights of its model: classifier.bias, classifier.weight"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "cannot be used as a cross-encoder"),
    ],
)
async def test_weights_that_are_not_there_fail_what_is_asked_and_are_read_once(
    make: Make, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object], words: str
) -> None:
    spoilt = await asyncio.to_thread(shutil.copytree, folder, tmp_path / "spoilt")
    await asyncio.to_thread(spoil, spoilt)
    reranker = await make(spoilt)
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(PenstockError, match="The re-ranking model failed on this request"):
                await reranker.score(QUERY, PASSAGES)
            monkeypatch.setattr(CrossEncoder, "__init__", lambda *_: pytest.fail("read again"))
    assert [(line["event"], line["task"], words in line["error"]) for line in logs] == [("request failed", "re-ranking", True)] * 2


async def test_a_pair_that_breaks_the_model_fails_its_request_alone(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker, call = await make(folder), CrossEncoder.__call__
    (breaking,) = await asyncio.to_thread(reranker._reader.read, QUERY, ["x"])

    def broken(self: CrossEncoder, texts: list[list[int]]) -> object:
        if breaking in texts:
            raise ZeroDivisionError
        return call(self, texts)

    monkeypatch.setattr(CrossEncoder, "__call__", broken)
    good, bad = await asyncio.gather(reranker.score(QUERY, PASSAGES[:2]), reranker.score(QUERY, PASSAGES), return_exceptions=True)
    assert isinstance(good, list)
    assert isinstance(bad, PenstockError)


async def test_what_nobody_waits_for_any_more_is_not_computed(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker, computed, call = await make(folder), list[int](), CrossEncoder.__call__
    await reranker.score(QUERY, ["load it"])

    def counted(self: CrossEncoder, texts: list[list[int]]) -> object:
        computed.append(len(texts))
        return call(self, texts)

    monkeypatch.setattr(CrossEncoder, "__call__", counted)
    asked = asyncio.create_task(reranker.score(QUERY, PASSAGES * 500))
    await until(lambda: computed, "it is begun")
    asked.cancel()
    await reranker.score(QUERY, PASSAGES[:1])
    assert sum(computed) < 2000


async def test_it_goes_before_what_is_embedded_in_bulk(first_start: Started, folder: Path) -> None:
    source, lock = sources.embedder(), DeviceLock()
    assert source
    embedder = await asyncio.to_thread(Embedder, source, first_start.settings, device_lock=lock, threads=1)
    settings = msgspec.structs.replace(first_start.settings, reranking_model=str(folder))
    reranker = await asyncio.to_thread(Reranker, settings, device_lock=lock, threads=1)
    await reranker.score(QUERY, PASSAGES)
    bulk = asyncio.create_task(embedder.embed([f"{place} {PASSAGES[3]}" for place in range(1400)]))
    await until(lambda: embedder._loop._bulk is not None, "it has begun", timeout_s=60)
    for _ in range(5):
        await reranker.score(QUERY, PASSAGES)
    assert not bulk.done()
    bulk.cancel()
    await asyncio.gather(bulk, return_exceptions=True)
    for one in (embedder, reranker):
        await asyncio.to_thread(one.close)
    with pytest.raises(Unavailable):
        await reranker.score(QUERY, PASSAGES)


async def test_a_worker_with_a_folder_that_holds_none_says_so_and_serves_the_rest(first_start: Started, folder: Path) -> None:
    def load(name: str) -> tuple[object, list[str]]:
        with capture_logs() as logs:
            work = work_of(Pool.GPU, msgspec.structs.replace(first_start.settings, reranking_model=name))
        assert work.generator
        assert work.embedder
        return work.reranker, [line["why"] for line in logs if line["event"] == "no re-ranking" and line["log_level"] == "error"]

    assert await asyncio.to_thread(load, "") == (None, [])
    reranker, (why,) = await asyncio.to_thread(load, "/nowhere")
    assert (reranker, "PENSTOCK_RERANKING_MODEL: /nowhere is no cross-encoder" in why) == (None, True)
    reranker, told = await asyncio.to_thread(load, str(folder))
    assert isinstance(reranker, Reranker)
    assert told == []
    assert len(await reranker.score(QUERY, PASSAGES)) == len(PASSAGES)
