import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from structlog.testing import capture_logs
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from core.errors import BadRequest, ContextTooLong, PenstockError, Unavailable
from core.models.embeddings import EmbeddingDtype
from gpu import sources
from gpu.batch_queue import BatchQueue, EmbedRequest, EmbedShare
from gpu.bert import BertEncoder, Vectors, _Work
from gpu.bert_ways import LEAST_COSINE
from gpu.embed_loop import EmbedLoop
from gpu.embedder import Embedder
from gpu.kernels import Kernels, Way
from gpu.shares import Share
from tests.gpu.asking import Started
from tests.gpu.embedders import loaded_embedder
from tests.polling import until

TEXTS = [
    "How do I reset my password?",
    "Steps for recovering access to an account",
    "The mill stands by the river.",
    "Ünïcödé, 漢字 and emoji 🙂 too",
    "x",
    " ".join(["a sentence that goes on and on"] * 30),
]


@pytest.fixture(scope="module")
def embedder(functions: Kernels, first_start: Started) -> Iterator[Embedder]:
    del functions  # are compiled now
    made = loaded_embedder(first_start.settings)
    yield made
    made.close()


def vectors(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.float32).view(-1, 384)


async def one_by_one(embedder: Embedder, texts: list[str]) -> torch.Tensor:
    return torch.cat([vectors((await embedder.embed([text]))[0]) for text in texts])


@pytest.mark.parametrize("dtype", EmbeddingDtype)
async def test_it_gives_what_transformers_and_the_models_own_pooling_give(
    functions: Kernels, first_start: Started, dtype: EmbeddingDtype
) -> None:
    if dtype is EmbeddingDtype.BFLOAT16 and functions.ways == (Way.FLOAT32,):
        pytest.skip("this processor, or its system, multiplies bfloat16 in no way")
    source = sources.embedder()
    assert source

    def straightforward() -> torch.Tensor:
        tokenizer = AutoTokenizer.from_pretrained(source.path, local_files_only=True)
        model = AutoModel.from_pretrained(source.path, local_files_only=True).eval()
        made = []
        with torch.inference_mode():
            for text in TEXTS:
                states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
                made.append(functional.normalize(states.mean(0), dim=0))
        return torch.stack(made)

    expected = await asyncio.to_thread(straightforward)
    embedder = await asyncio.to_thread(loaded_embedder, first_start.settings, dtype)
    with capture_logs() as logs:
        made = await one_by_one(embedder, TEXTS)
    await asyncio.to_thread(embedder.close)
    (told,) = (line["text"] for line in logs if line["event"] == "numerics" and line["model"] == embedder.model_id)
    if told.startswith("float32"):
        assert torch.allclose(made, expected, atol=1e-6)
    else:
        assert told.startswith("bfloat16")
        assert float((made * expected).sum(1).min()) >= LEAST_COSINE
        assert not torch.allclose(made, expected, atol=1e-6), "it says that it rounds"
    assert dtype is EmbeddingDtype.AUTO or told.startswith(dtype)


async def test_a_text_has_the_same_vector_alone_and_beside_others(embedder: Embedder) -> None:
    alone = await one_by_one(embedder, TEXTS)
    together, tokens = await embedder.embed(TEXTS)
    assert torch.equal(vectors(together), alone)
    assert torch.allclose(vectors(together).norm(dim=1), torch.ones(len(TEXTS)))
    assert tokens == sum([(await embedder.embed([text]))[1] for text in TEXTS])


async def test_texts_of_one_meaning_are_nearer_than_others(embedder: Embedder) -> None:
    question, answer, other = vectors((await embedder.embed(TEXTS[:3]))[0])
    assert float(question @ answer) > 0.5
    assert float(question @ other) < 0.2


async def test_token_ids_are_texts_without_the_special_tokens(embedder: Embedder) -> None:
    tokenizer = embedder._reader._open()
    ids = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    assert (await embedder.embed([ids]))[0] == (await embedder.embed([TEXTS[0]]))[0]
    with pytest.raises(BadRequest, match=r"input\[1\]: 30522 is not a token of this model; ids run from 0 to 30521"):
        await embedder.embed([[1], [30522]])


async def test_special_tokens_that_a_text_names_are_text(embedder: Embedder) -> None:
    source = sources.embedder()
    assert source
    theirs = Tokenizer.from_file(str(source.path / "tokenizer.json"))
    theirs.no_padding()
    first, last = theirs.encode("").ids
    for text in ("the [SEP] river", "[CLS][MASK] [PAD]", "[UNK]", "[SEP", "[", "[mask] MASK"):
        (ids,) = embedder._reader.ids([text])
        assert (ids[0], ids[-1]) == (first, last)
        assert not {theirs.token_to_id(mark) for mark in ("[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]")} & set(ids[1:-1])
        assert theirs.decode(ids).replace(" ", "") == text.lower().replace(" ", "")
    for text in (*TEXTS, "\ue000 is unknown"):
        (ids,) = embedder._reader.ids([text])
        theirs.no_truncation()
        assert ids == theirs.encode(text).ids


async def test_a_text_over_the_limit_is_refused_not_cut(embedder: Embedder) -> None:
    assert (await embedder.embed(["word " * 254]))[1] == 256
    with pytest.raises(ContextTooLong, match=r"maximum context length is 256 tokens. However, input\[1\] resulted in 257"):
        await embedder.embed(["short", "word " * 255])


async def test_many_requests_at_once_share_batches_and_each_gets_its_own(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    call = BertEncoder.__call__

    def counted(self: BertEncoder, texts: list[list[int]]) -> Vectors:
        batches.append(len(texts))
        return call(self, texts)

    monkeypatch.setattr(BertEncoder, "__call__", counted)
    asked = [[f"{number} of {place}" for place in range(1 + number % 4)] for number in range(40)]
    given = await asyncio.gather(*map(embedder.embed, asked))
    assert len(batches) < len(asked) / 2
    for texts, (data, _) in zip(asked[:4], given, strict=False):
        assert torch.equal(vectors(data), await one_by_one(embedder, texts))


async def test_a_query_waits_for_no_more_than_a_piece_of_the_bulk_before_it(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, before, waited = 0, dict[EmbedRequest, int](), list[int]()
    compute, submit, deliver = _Work.compute, EmbedLoop.submit, EmbedRequest.deliver

    def counted(self: _Work, from_layer: int, to_layer: int) -> None:
        nonlocal pieces
        pieces += to_layer - from_layer == 1
        compute(self, from_layer, to_layer)

    def submitted(self: EmbedLoop, order: EmbedRequest) -> None:
        before[order] = pieces
        submit(self, order)

    def delivered(self: EmbedRequest, made: Any) -> None:
        if self.share is Share.QUERIES:
            waited.append(pieces - before[self])
        deliver(self, made)

    await embedder.embed(["load it"])
    monkeypatch.setattr(_Work, "compute", counted)
    monkeypatch.setattr(EmbedLoop, "submit", submitted)
    monkeypatch.setattr(EmbedRequest, "deliver", delivered)
    bulk = [asyncio.create_task(embedder.embed([f"{number} {place} {TEXTS[5]}" for place in range(8)])) for number in range(56)]
    await until(lambda: pieces > 0 and embedder._loop._queue.count(Share.BULK) > 400, "they are begun")
    for number in range(9):
        await embedder.embed([f"question {number}"])
    assert not any(task.done() for task in bulk[-5:])
    assert len(waited) == 9
    assert max(waited) <= 1
    for task in bulk:
        task.cancel()
    await asyncio.gather(*bulk, return_exceptions=True)


async def test_bulk_goes_on_beside_queries_that_never_end(embedder: Embedder) -> None:
    async def ask_on() -> None:
        while True:
            await embedder.embed(["one query after another"])

    asking = [asyncio.create_task(ask_on()) for _ in range(8)]
    texts = [f"{place} {TEXTS[5]}" for place in range(4)]
    assert torch.equal(vectors((await embedder.embed(texts))[0]), await one_by_one(embedder, texts))
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


@pytest.mark.parametrize(
    ("texts", "share", "expected"),
    [
        ([4], None, "queries"),
        ([512], None, "queries"),
        ([256, 257], None, "bulk"),
        ([4], Share.BULK, "bulk"),
        ([600], Share.QUERIES, "queries"),
    ],
)
async def test_few_tokens_are_a_query_unless_the_request_says_what_it_is(texts: list[int], share: EmbedShare | None, expected: str) -> None:
    order = EmbedRequest([[1] * length for length in texts], share)
    queue = BatchQueue({Share.QUERIES: 512, Share.BULK: 512}, is_padded=False)
    queue.add(order)
    assert {name: queue.count(name) for name in (Share.QUERIES, Share.BULK) if queue.count(name)} == {expected: len(texts)}


async def test_a_text_that_breaks_the_model_fails_alone(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    call = BertEncoder.__call__
    (breaking,) = embedder._reader.ids(["break it"])

    def broken(self: BertEncoder, texts: list[list[int]]) -> Vectors:
        if breaking in texts:
            raise ZeroDivisionError
        return call(self, texts)

    monkeypatch.setattr(BertEncoder, "__call__", broken)
    good, bad = await asyncio.gather(embedder.embed(["good", "better"]), embedder.embed(["fine", "break it"]), return_exceptions=True)
    assert isinstance(good, tuple)
    assert isinstance(bad, PenstockError)
    assert "break" not in bad.detail


@pytest.mark.parametrize(("is_padded", "expected"), [(False, [16, 40, 60, 100]), (True, [100, 100])])
async def test_a_batch_is_filled_in_order_or_where_texts_are_padded_by_those_nearest_in_length_to_the_oldest(
    *, is_padded: bool, expected: list[int]
) -> None:
    queue = BatchQueue({Share.QUERIES: 256, Share.BULK: 256}, is_padded=is_padded)
    queue.add(EmbedRequest([[1] * length for length in (100, 16, 40, 250, 60, 100)], Share.BULK))
    assert [len(text) for text in queue.take(Share.BULK)] == expected
    queue.add(EmbedRequest([[1] * 300], Share.BULK))
    while batch := queue.take(Share.BULK):
        assert len(batch) == 1 or sum(map(len, batch)) <= 256
    assert queue.count(Share.BULK) == 0


async def test_what_nobody_waits_for_any_more_is_not_embedded(embedder: Embedder) -> None:
    queue = embedder._loop._queue
    asked = asyncio.create_task(embedder.embed([f"{place} {TEXTS[5]}" for place in range(1400)]))
    await until(lambda: queue.count(Share.BULK) > 0, "it waits")
    asked.cancel()
    await embedder.embed([f"another {TEXTS[5]}"] * 4)
    assert queue.count(Share.BULK) == 0


async def test_it_is_loaded_with_the_first_text_and_that_takes_little(embedder: Embedder, first_start: Started) -> None:
    del embedder
    made = await asyncio.to_thread(loaded_embedder, first_start.settings)
    assert made._loop.encoder is None
    began = time.process_time()
    await made.embed(["first"])
    assert time.process_time() - began < 3
    await asyncio.to_thread(made.close)
    with pytest.raises(Unavailable):
        await made.embed(["too late"])


def test_what_it_says_of_itself(embedder: Embedder) -> None:
    assert (embedder.model_id, embedder.dimensions, embedder.context_length, embedder.owned_by) == (
        "all-MiniLM-L6-v2",
        384,
        256,
        "penstock",
    )
