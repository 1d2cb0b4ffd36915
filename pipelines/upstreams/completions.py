"""Chat completions of upstreams: what they are sent, and their answers, streamed or whole, as events."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import aiohttp
import msgspec

from core.errors import UpstreamBroken, UpstreamError
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta
from pipelines.chat import Prompt, add_system_prompt
from pipelines.tools.rounds import tool_document
from pipelines.upstreams.endpoint import Endpoint, decode_answer
from pipelines.upstreams.schemas import Chunk, WireCompletion, delta_of, usage_of

SHOWN_CHARACTERS = 300

# What Open WebUI's clients tell their server beside a request: servers of models refuse what they do not know.
OURS = frozenset(
    {
        "user",
        "files",
        "knowledge_ids",
        "tool_ids",
        "chat_id",
        "session_id",
        "id",
        "parent_message",
        "background_tasks",
        "model_item",
        "filter_ids",
        "tool_servers",
        "variables",
    }
)
ASKING = frozenset({"features", "params"})  # ask for something where there is something in them

SWITCHES = frozenset({"function_calling"})  # of params: read here
AUTO = (None, "auto", "none")

Part = Delta | ChoiceFinished | Usage


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def body_of(prompt: Prompt) -> tuple[bytes, bool]:
    """The client's request as it came, but for what we must know or that must not travel; and whether it asks for a stream.

    Its members are told apart, and only those that we must know are read.
    """
    body: dict[str, Any] = {
        name: value for name, value in _members(prompt.body).items() if name not in OURS and (name not in ASKING or _asks(value))
    }
    if prompt.said is not None:
        body["messages"] = prompt.said
    elif prompt.spec.system:
        body["messages"] = add_system_prompt(prompt.spec.system, msgspec.json.decode(body["messages"]))
    if prompt.spec.tools:
        _tell_tools(body, prompt)
    stream = bytes(body.get("stream", b"")) == b"true"
    if stream:
        body["stream_options"] = {"include_usage": True}
    else:
        body.pop("stream_options", None)
    return msgspec.json.encode(body), stream


def _tell_tools(body: dict[str, Any], prompt: Prompt) -> None:
    """Ours beside the client's own. Who must call a tool has done so after the first round: or there would never be an answer."""
    theirs = msgspec.json.decode(body.get("tools", b"null")) or ()
    offered = [*theirs, *map(tool_document, prompt.tools)]
    if not offered:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
        return
    body["tools"] = offered
    if prompt.later and msgspec.json.decode(body.get("tool_choice", b"null")) not in AUTO:
        body["tool_choice"] = "auto"


def _asks(member: msgspec.Raw) -> bool:
    value = msgspec.json.decode(member)
    return any(wanted for name, wanted in value.items() if name not in SWITCHES) if isinstance(value, dict) else bool(value)


async def read_stream(response: aiohttp.ClientResponse, endpoint: Endpoint) -> AsyncGenerator[Part, None]:
    """Server-sent events by whatever pieces the network brings; the end is ``[DONE]``, and a stream without one broke off."""
    rest, tokens, usage, finished = b"", 0, None, False
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            data = line[5:].strip() if line.startswith(b"data:") else b""
            if not data:
                continue
            if data == b"[DONE]":
                yield usage or Usage(prompt_tokens=0, completion_tokens=tokens, total_tokens=tokens)
                return
            chunk = decode_answer(data, Chunk, endpoint)
            if chunk.error is not None:
                message = f"The upstream {endpoint.url} failed: {str(chunk.error)[:SHOWN_CHARACTERS]}"
                raise UpstreamError(message)
            usage = usage_of(chunk.usage) or usage
            for choice in chunk.choices or ():
                delta = delta_of(choice)
                if delta is not None:
                    tokens += 1
                    yield delta
                if choice.end:
                    finished = True
                    yield ChoiceFinished(choice=choice.index, finish_reason=choice.end)
    if not finished:
        message = f"The upstream {endpoint.url} broke off in the middle of its answer."
        raise UpstreamBroken(message)
    yield usage or Usage(prompt_tokens=0, completion_tokens=tokens, total_tokens=tokens)


def read_whole(body: bytes, endpoint: Endpoint) -> Sequence[Part]:
    """All of an answer at once."""
    answer = decode_answer(body, WireCompletion, endpoint)
    parts: list[Part] = []
    for choice in answer.choices:
        parts.append(delta_of(choice) or Delta(choice=choice.index))
        parts.append(ChoiceFinished(choice=choice.index, finish_reason=choice.end or "stop"))
    return [*parts, usage_of(answer.usage) or Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)]
