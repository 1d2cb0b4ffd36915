"""An answer in rounds: the model is asked, the tools that it calls are called, and it is asked again with what they gave.

What a round's model has said is a step in the log, and so is what each call gave: whoever takes the answer over goes on behind them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial

import msgspec

from core.errors import BadRequest, ContextTooLong, PenstockError
from core.logging import get_logger
from core.models.completions import FinishReason, Usage
from core.models.events import ChoiceFinished, Delta, Event, ToolCall
from core.models.function_calls import CallFunction
from core.models.tools import ToolOutcome
from core.services.functions.calls import FunctionCalls
from core.services.tools import names_of
from pipelines.chat import Generator, Prompt, Transcript, add_system_prompt
from pipelines.tools.arguments import BadCall, read_call, shown
from pipelines.tools.native import NativeCalls
from pipelines.tools.prompted import PromptedCalls, describe_tools
from pipelines.tools.rounds import Round, ToolRequest, outcome_of, retell, total
from workers.attempt import Attempt

MAX_CALLS = 16  # of one round
BETWEEN = "\n\n"  # the texts of two rounds
FOR_GOOD = ("stopped", "out of time")

log = get_logger()


class ToolRounds:
    """One attempt at the rounds of an answer. ``said``: its text so far; ``most``: rounds in which tools may be called.

    ``tell`` adds an entry to the log.
    """

    def __init__(  # noqa: PLR0913 - what an answer is made of
        self,
        attempt: Attempt,
        prompt: Prompt,
        generator: Generator,
        calls: FunctionCalls,
        *,
        tell: Callable[[Event], None],
        said: str,
        most: int,
    ) -> None:
        self._attempt = attempt
        self._prompt = prompt
        self._spec = prompt.spec
        self._generator = generator
        self._calls = calls
        self._tell = tell
        self._said = said
        self._most = most
        self._emitted = prompt.emitted  # of the round that an earlier worker has begun, if one has
        self._prompted = prompt.spec.prompted
        self._made: list[tuple[Round, Sequence[ToolOutcome]]] = []
        self._finish: FinishReason | None = None
        self._context_length: int | None = None

    async def run(self) -> Usage | None:
        """To the answer's end. The tokens of all rounds."""
        self._context_length = (await self._generator.window(self._spec.served)).tokens
        while True:
            number = len(self._made) + 1
            asked = await self._attempt.recall(f"round-{number}", Round)
            if asked is None:
                asked = await self._ask(last=number > self._most)
                if not asked.calls:
                    break
                await self._attempt.note(f"round-{number}", asked)
            self._prompted = asked.prompted
            self._made.append((asked, await self._call_all(number, asked.calls)))
        if self._finish:
            self._tell(ChoiceFinished(finish_reason=self._finish))
        return total((*(made.usage for made, _ in self._made), asked.usage))

    async def _ask(self, *, last: bool) -> Round:
        """One round. A server that will not hear of tools, and has said nothing yet, is told of them in words."""
        try:
            return await self._hear(last=last, prompted=self._prompted)
        except ContextTooLong:
            raise
        except BadRequest as error:
            if self._prompted or self._made or self._attempt.held.begun:
                raise
            log.info("tools told in words", why=error.detail)
            return await self._hear(last=last, prompted=True)

    async def _hear(self, *, last: bool, prompted: bool) -> Round:
        """What the model says, told as it comes, and what it calls. In the last round it cannot call ours."""
        emitted, self._emitted = self._emitted, {}
        before = emitted.get(0, Transcript())
        heard: NativeCalls | PromptedCalls = NativeCalls(names_of(self._prompt.request.tools))
        if prompted and not last:
            heard = PromptedCalls(told=bool(before.text or before.tokens))
        usage, text = None, before.text
        async with aclosing(self._generator.generate(self._asked(emitted, last=last, prompted=prompted))) as parts:
            async for part in parts:
                if isinstance(part, Usage):
                    usage = part
                elif isinstance(part, ChoiceFinished):
                    self._finish = part.finish_reason
                else:
                    for delta in heard.hear(part):
                        text += self._say(delta, first=not text)
        for delta in heard.end():
            text += self._say(delta, first=not text)
        if self._finish and heard.theirs_called:
            self._finish = "tool_calls"
        elif self._finish == "tool_calls":
            self._finish = "stop"
        calls = () if last or heard.theirs_called else heard.calls
        return Round(text=heard.text, calls=calls, prompted=prompted, usage=usage)

    def _asked(self, emitted: Mapping[int, Transcript], *, last: bool, prompted: bool) -> Prompt:
        """What the generator is asked in a round."""
        messages = self._prompt.said
        if self._made:
            messages = [*self._prompt.messages, *retell(self._made)]
        if prompted and not last:
            messages = add_system_prompt(describe_tools(self._spec.tools), messages or self._prompt.messages)
        tools = () if prompted or last else self._spec.tools
        return msgspec.structs.replace(self._prompt, said=messages, tools=tools, later=bool(self._made), emitted=emitted)

    def _say(self, delta: Delta, *, first: bool) -> str:
        """Tell a piece; the text of a round begins in a paragraph of its own. What of it is text."""
        if first and delta.text and self._said and not self._said.endswith("\n"):
            delta = msgspec.structs.replace(delta, text=BETWEEN + delta.text)
        self._tell(delta)
        self._said = delta.text or self._said
        return delta.text

    async def _call_all(self, number: int, requests: Sequence[ToolRequest]) -> list[ToolOutcome]:
        """All calls of a round at once."""
        tasks = [asyncio.create_task(self._call(f"{number}.{place}", place, request)) for place, request in enumerate(requests)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, key: str, place: int, request: ToolRequest) -> ToolOutcome:
        """One call, unless it was made before. What it gave is forgotten elsewhere once the log holds it."""
        job_id = f"tool-{self._spec.id}-{key.replace('.', '-')}"  # a dot is for the steps of batches
        event = ToolCall(key=key, name=request.name, arguments=msgspec.Raw(shown(request)))
        make = partial(self._make, job_id, request) if place < MAX_CALLS else _refuse
        outcome = await self._attempt.call(event, make, ToolOutcome)
        with suppress(PenstockError):
            await self._calls.forget(job_id)
        return outcome

    async def _make(self, job_id: str, request: ToolRequest) -> ToolOutcome:
        """Have a function called; what is wrong with that, the model is told. Only who ends the answer for good stops the call."""
        try:
            tool, arguments = read_call(request, self._spec.tools)
            call = CallFunction(
                function_id=tool.function_id,
                version_id=tool.version_id,
                entry=tool.entry,
                arguments=arguments,
                user_id=self._spec.user_id,
            )
            return outcome_of(await self._calls.run(call, job_id=job_id), self._context_length)
        except BadCall as wrong:
            return ToolOutcome(error=str(wrong))
        except PenstockError as error:
            return ToolOutcome(error=error.detail)
        except asyncio.CancelledError:
            if self._attempt.held.reason in FOR_GOOD:
                await self._calls.forget(job_id)
            raise


async def _refuse() -> ToolOutcome:
    return ToolOutcome(error=f"This was not called: at most {MAX_CALLS} tools are called at a time. Call it again if it is still needed.")
