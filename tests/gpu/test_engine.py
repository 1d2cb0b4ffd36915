import asyncio
import itertools
from contextlib import aclosing
from typing import Any

import pytest

from core.errors import BadRequest, ContextTooLong, PenstockError, Unavailable
from core.settings import Settings
from gpu.engine import Engine, load
from gpu.requests import FinishReason, Piece, Scored
from gpu.sequence import Sequence
from tests.gpu.asking import Answered, Started, ask, gathered, request
from tests.polling import until

SEA = "Write a short poem about the sea."
PARIS = "What is the capital of France?"
END = 2  # the id that ends an answer
FREE = {"temperature": 1.0, "seed": 5, "top_p": 0.9, "presence_penalty": 0.6, "frequency_penalty": 0.3, "max_tokens": 28}


async def test_it_answers_a_question(engine: Engine) -> None:
    assert "Paris" in (await ask(engine, PARIS)).text


async def test_the_id_that_ends_an_answer_is_among_its_tokens_and_not_in_its_text(engine: Engine) -> None:
    answered = await ask(engine, PARIS, logit_bias={END: 100.0})
    assert (answered.tokens, answered.text, answered.finish_reason) == ((END,), "", "stop")


async def test_the_same_seed_gives_the_same_answer_beside_others(engine: Engine) -> None:
    alone = await ask(engine, SEA, **FREE)
    together = await asyncio.gather(*(ask(engine, SEA, **{**FREE, "seed": seed}) for seed in (4, 5, 6)), ask(engine, "Hello", max_tokens=9))
    assert together[1].tokens == alone.tokens
    assert together[1].text == alone.text
    assert len({answer.text for answer in together}) == 4


async def test_choices_of_one_seed_differ(engine: Engine) -> None:
    first, second = await asyncio.gather(ask(engine, SEA, **FREE, choice=0), ask(engine, SEA, **FREE, choice=1))
    assert first.text != second.text


@pytest.mark.parametrize("stop", [(), (" the", "zzz"), (",\n", ".\n", "!")])
async def test_an_answer_taken_over_anywhere_ends_in_the_very_same_text(engine: Engine, stop: tuple[str, ...]) -> None:
    whole = await ask(engine, SEA, **FREE, stop=stop)
    ends = list(itertools.accumulate((len(piece.tokens) for piece in whole.pieces), initial=0))
    rests = await asyncio.gather(*(ask(engine, SEA, **FREE, stop=stop, emitted=whole.tokens[:end]) for end in ends))
    for seen, (end, rest) in enumerate(zip(ends, rests, strict=True)):
        assert whole.tokens[:end] + rest.tokens == whole.tokens
        assert "".join(piece.text for piece in whole.pieces[:seen]) + rest.text == whole.text
        assert rest.finish_reason == whole.finish_reason


@pytest.mark.parametrize(("asked", "reason"), [({"logit_bias": {END: 100.0}}, "stop"), ({"max_tokens": 3}, "length")])
async def test_an_answer_that_had_ended_ends_at_once(engine: Engine, asked: dict[str, Any], reason: FinishReason) -> None:
    whole = await ask(engine, SEA, **asked)
    rest = await ask(engine, SEA, **asked, emitted=whole.tokens)
    assert rest.pieces == [Piece(text="", tokens=(), finish_reason=reason)]


async def test_max_tokens_ends_an_answer(engine: Engine) -> None:
    answered = await ask(engine, SEA, max_tokens=5)
    assert (len(answered.tokens), answered.finish_reason) == (5, "length")


async def test_a_stop_string_is_never_seen(engine: Engine) -> None:
    whole = await ask(engine, SEA, logit_bias={END: -100.0})
    stop = whole.text[7:14]
    answered = await ask(engine, SEA, logit_bias={END: -100.0}, stop=(stop,))
    assert (answered.text, answered.finish_reason) == (whole.text[: whole.text.index(stop)], "stop")


async def test_a_biased_token_is_the_only_one_chosen(engine: Engine) -> None:
    answered = await ask(engine, SEA, temperature=1.0, logit_bias={504: 100.0}, max_tokens=4)
    assert answered.tokens == (504,) * 4


async def test_a_prompt_over_the_context_is_refused_in_openais_words(engine: Engine) -> None:
    with pytest.raises(
        ContextTooLong, match=r"This model's maximum context length is 8192 tokens\. However, your messages resulted in \d+ tokens"
    ):
        await ask(engine, "river " * 9000)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"content": [{"type": "image_url", "image_url": {"url": "data:"}}]}, "reads text only"),
        ({"content": SEA, "logit_bias": {49152: 1.0}}, "49152 is not a token"),
        ({"content": SEA, "logit_bias": {-1: 1.0}}, "-1 is not a token"),
    ],
)
async def test_a_bad_request_fails_alone(engine: Engine, asked: dict[str, object], words: str) -> None:
    good, bad = await asyncio.gather(ask(engine, PARIS), ask(engine, **asked), return_exceptions=True)
    assert isinstance(good, Answered)
    assert good == await ask(engine, PARIS)
    assert isinstance(bad, BadRequest)
    assert words in bad.detail


async def test_content_may_come_in_parts(engine: Engine) -> None:
    parts = [{"type": "text", "text": "What is the capital"}, {"type": "text", "text": " of France?"}]
    assert (await ask(engine, parts)).tokens == (await ask(engine, PARIS)).tokens


async def test_a_request_that_breaks_a_step_fails_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = Sequence.accept

    def breaking(self: Sequence, token: int, scored: Scored | None = None) -> None:
        if self.sampling.seed == 666 and self.position == 3:
            raise ZeroDivisionError
        accept(self, token, scored)

    monkeypatch.setattr(Sequence, "accept", breaking)
    good, bad = await asyncio.gather(ask(engine, SEA, max_tokens=12), ask(engine, SEA, seed=666, temperature=1.0), return_exceptions=True)
    monkeypatch.undo()
    assert isinstance(bad, PenstockError)
    assert isinstance(good, Answered)
    assert good.tokens == (await ask(engine, SEA, max_tokens=12)).tokens


async def test_closing_the_generator_frees_its_place_in_the_batch(engine: Engine) -> None:
    async with aclosing(engine.generate(request(SEA, max_tokens=None, logit_bias={END: -100.0}))) as pieces:
        await anext(pieces)
        assert engine.load == 1
    await until(lambda: engine.load == 0, "its place is free")


async def test_a_cancelled_reader_frees_its_place_in_the_batch(engine: Engine) -> None:
    readers = [asyncio.create_task(ask(engine, SEA, max_tokens=None, logit_bias={END: -100.0})) for _ in range(12)]
    await until(lambda: engine.load == 12, "all are in")
    for reader in readers:
        reader.cancel()
    await until(lambda: engine.load == 0, "its place is free")


async def test_more_requests_than_rows_are_all_answered(engine: Engine) -> None:
    answers = await asyncio.gather(*(ask(engine, f"Say {number}.", max_tokens=6) for number in range(20)))
    assert all(answer.tokens for answer in answers)


async def test_the_prompt_is_counted(engine: Engine) -> None:
    assert engine.count_prompt([{"role": "user", "content": PARIS}]) == 37


async def test_what_it_says_of_itself(engine: Engine) -> None:
    assert (engine.model_id, engine.context_length, engine.continued, engine.device) == ("smollm2-135m-instruct", 8192, "exact", "cpu")
    assert engine.created > 0


async def test_closing_the_engine_tells_its_readers(first_start: Started) -> None:
    closing = await asyncio.to_thread(load, first_start.source, first_start.settings, threads=1)
    pieces = closing.generate(request(SEA, max_tokens=None, logit_bias={END: -100.0}))
    await anext(pieces)
    await asyncio.to_thread(closing.close)
    with pytest.raises(Unavailable):
        _ = [piece async for piece in pieces]
    with pytest.raises(Unavailable):
        await gathered(closing, request(SEA))


async def test_the_first_start_says_what_it_does_and_the_second_finds_it_done(first_start: Started) -> None:
    assert [line.split()[0] for line in first_start.said] == ["Loading", "Reading", "Packing", "Compiling", "smollm2-135m-instruct"]
    folder = first_start.settings.data_dir / "models"
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert {path.suffix for path in kept} == {".json", ".safetensors", ".so"}
    said: list[str] = []
    second = await asyncio.to_thread(load, first_start.source, first_start.settings, progress=said.append, threads=1)
    await asyncio.to_thread(second.close)
    assert [line.split()[0] for line in said] == ["Loading", "smollm2-135m-instruct"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == kept


def test_a_device_that_is_not_there_is_refused(first_start: Started) -> None:
    with pytest.raises(PenstockError, match="PENSTOCK_DEVICE"):
        load(first_start.source, Settings(data_dir=first_start.settings.data_dir, device="quantum"))
