"""The actors that make answers: load, generate, save."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import UpstreamBroken
from core.events import EventLog
from core.jobs.claims import Claims
from core.jobs.placement import origin
from core.logging import get_logger
from core.models.completions import Usage
from core.models.events import Delta, Event, Finished, Sources, Started, first_choice
from core.models.generations import GenerationSpec
from core.models.jobs import JobStatus
from core.models.numerics import Continued, Numerics
from core.services.answers import Answers
from core.services.functions.calls import FunctionCalls
from core.services.tools import describe_calls
from pipelines.chat import Generator, Prompt, Transcript, add_event, prompt_of, replay
from pipelines.sources import Grounded, add_sources
from workers.actors.passages import Passages
from workers.actors.tool_rounds import ToolRounds
from workers.attempt import CUT, Attempt

if TYPE_CHECKING:
    from core.models.sources import Source

log = get_logger()

ROUNDS = 10

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Grounded | list[dict[str, Any]]).decode


class Replies:
    """What ``generate_reply`` and ``relay_reply`` do."""

    def __init__(  # noqa: PLR0913 - each by its name, where the process is assembled
        self,
        *,
        claims: Claims,
        events: EventLog,
        answers: Answers,
        generator: Generator,
        passages: Passages,
        calls: FunctionCalls,
        rounds: int = ROUNDS,
    ) -> None:
        """``rounds``: in so many of an answer a model may call tools."""
        self.claims = claims
        self.events = events
        self.answers = answers
        self.generator = generator
        self.passages = passages
        self.calls = calls
        self.rounds = rounds

    def __call__(self, attempt: Attempt) -> "Reply":
        """One attempt at an answer."""
        return Reply(self, attempt)


class Reply:
    """One claim's part of an answer. What earlier claims gave to the log is there already."""

    def __init__(self, by: Replies, attempt: Attempt) -> None:
        self._by = by
        self._attempt = attempt
        self._spec = attempt.claim.spec.payload_as(GenerationSpec)
        self.keeps = self._spec.chat_id is not None
        self._seen: list[tuple[str, Event]] = []
        self._transcripts: dict[int, Transcript] = {}
        self._sources: tuple[Source, ...] | None = None

    async def do(self) -> Finished:
        """Generate. What every reader has seen whole can only finish, whatever fails after that."""
        await self._read()
        prompt = await self._prompt()
        if self._sources is not None:
            await self._by.answers.save_sources(self._spec, self._sources)
        try:
            return Finished(usage=await self._generate(prompt))
        except Exception as error:
            if not self._is_complete(prompt):
                raise
            log.warning("complete, but", why=str(error))
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Save the text as far as it came."""
        if self._spec.tools:
            events = [event for _, event in await self._by.events.read(self._spec.id)]
            return await self._by.answers.save(self._spec, first_choice(events), status, last, describe_calls(events))
        if not self._transcripts:
            await self._read()
        return await self._by.answers.save(self._spec, self._transcripts.get(0, Transcript()).text, status, last)

    async def _read(self) -> None:
        if self._attempt.claim.epoch > 1 and not self._seen:
            self._seen = await self._by.events.read(self._spec.id)
            self._transcripts = replay(self._seen)

    async def _prompt(self) -> Prompt:
        """What the first claim has read and found: whoever takes it over goes on with the same question and passages, changed or not."""
        claim, spec = self._attempt.claim, self._spec
        pinned = claim.prompt
        if not pinned:
            prompt = prompt_of(spec, claim.input, chat=await self._by.answers.chat(spec), log=self._seen)
            if not spec.chat_id and not spec.look_through:
                return prompt
            pinned = await self._by.claims.pin(claim, _encode(await self._ground(prompt)))
        kept = _decode(pinned)
        if isinstance(kept, Grounded) and not any(isinstance(event, Sources) for _, event in self._seen):
            self._sources = kept.sources
        return prompt_of(spec, claim.input, messages=kept.messages if isinstance(kept, Grounded) else kept, log=self._seen)

    async def _ground(self, prompt: Prompt) -> Grounded | Sequence[Mapping[str, Any]]:
        """What is to be pinned: the messages, and where there is something to look through, what was found there."""
        if not self._spec.look_through:
            return prompt.messages
        found = await self._by.passages.find(self._spec, prompt, await self._by.generator.window(self._spec.served))
        return Grounded(messages=add_sources(prompt.messages, found), sources=found)

    async def _generate(self, prompt: Prompt) -> Usage | None:
        self.tell(self._started(await self._by.generator.prepare(self._spec.served)))
        if self._sources is not None:
            self.tell(Sources(sources=self._sources))
        if self._spec.tools:
            attempt, by, said = self._attempt, self._by, first_choice(event for _, event in self._seen)
            rounds = ToolRounds(attempt, prompt, by.generator, by.calls, tell=self.tell, said=said, most=by.rounds)
            return await rounds.run()
        usage = None
        async with aclosing(self._by.generator.generate(prompt)) as parts:
            async for part in parts:
                if isinstance(part, Usage):
                    usage = part
                else:
                    self.tell(part)
        return usage

    def tell(self, event: Event) -> None:
        """Add an entry to the log, and remember what of the last round was told."""
        self._attempt.add(event)
        add_event(self._transcripts, event)

    def _started(self, numerics: Numerics | None) -> Started:
        """The promise of ``exact`` is the undisturbed answer, bit for bit: whoever computes other bits must have had no part in it.

        Of an answer in rounds, whoever cannot continue may still give the next one whole.
        """
        if self._begun() and numerics is None:
            raise UpstreamBroken(CUT)
        begun = any(isinstance(event, Delta) and (event.text or event.tokens) for _, event in self._seen)
        fingerprint = numerics.fingerprint if numerics else ""
        continued: Continued | None = None
        if begun and numerics:
            continued = numerics.continued if fingerprint and origin(self._seen) == fingerprint else "equivalent"
        return Started(
            model=self._spec.model,
            attempt=self._attempt.claim.epoch,
            worker=self._attempt.worker_id,
            continued=continued,
            fingerprint=fingerprint,
        )

    def _begun(self) -> bool:
        """Whether something was given of the last round."""
        return any(transcript.text or transcript.tokens for transcript in self._transcripts.values())

    def _is_complete(self, prompt: Prompt) -> bool:
        """Whether every choice has ended."""
        return all(self._transcripts.get(choice, Transcript()).finish_reason for choice in range(prompt.request.n or 1))
