"""Models of tests.upstream that call tools.

The last message of the user says which: JSON of the form ``[{"name": …, "arguments": …}]``. ``calling`` knows tools, and says so in
OpenAI's way; ``worded`` refuses them, and calls them in words; ``insisting`` calls whenever it can.
"""

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

MODELS = ("calling", "worded", "insisting")
LOOKING, FOUND = "Let me look.", "It gave: "
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """One round."""
    if body["model"] == "worded" and "tools" in body:
        problem = {"message": "worded does not support tools", "type": "api_error", "param": None, "code": None}
        return web.json_response({"error": problem}, status=400)
    text, calls = say(body)
    finish = "tool_calls" if calls else "stop"
    if not body.get("stream"):
        message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response({"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": USAGE})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    deltas = [*({"content": piece} for piece in pieces(text)), *streamed(calls)]
    for delta, reason in (*((delta, None) for delta in deltas), ({}, finish)):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        await response.write(b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n")
    await response.write(b"data: " + json.dumps({"id": "x", "choices": [], "usage": USAGE}).encode() + b"\n\ndata: [DONE]\n\n")
    return response


def say(body: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """What it says, and the calls in OpenAI's form."""
    messages = body["messages"]
    given = [message["content"] for message in messages if message["role"] == "tool"]
    if body["model"] == "worded":
        told = next((message["content"] for message in messages if message["role"] == "system"), "")
        last = messages[-1]["content"]
        if last.startswith("["):
            return (json.dumps({"tool_calls": json.loads(last)}) if "tool_calls" in told else "No tools."), []
        return FOUND + "|".join(one["result"] for one in json.loads(last.split("\n", 1)[1])), []
    if given and (body["model"] == "calling" or "tools" not in body):
        return FOUND + "|".join(given), []
    if "tools" not in body:
        return "No tools.", []
    asked = json.loads(next(message["content"] for message in reversed(messages) if message["role"] == "user"))
    return LOOKING, [
        {"id": f"c{place}", "type": "function", "function": {"name": call["name"], "arguments": written(call["arguments"])}}
        for place, call in enumerate(asked)
    ]


def written(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 5):
        yield text[start : start + 5]


def streamed(calls: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Name and id first, and then the arguments in two pieces."""
    for index, call in enumerate(calls):
        function = call["function"]
        yield {"tool_calls": [{"index": index, **call, "function": {"name": function["name"], "arguments": ""}}]}
        middle = len(function["arguments"]) // 2
        for piece in (function["arguments"][:middle], function["arguments"][middle:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
