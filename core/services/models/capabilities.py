"""What local models cannot do, told before anything is queued. Upstreams answer for themselves. Pure."""

from typing import Any, NoReturn

from core.errors import BadRequest, Unsupported
from core.models.completions import CompletionRequest

ELSEWHERE = "Leave it out, or ask a model of an upstream that can."


def check(request: CompletionRequest) -> None:
    """Raises Unsupported naming the field and what to do instead, BadRequest for fields that do not go together."""
    if request.tools and request.tool_choice != "none":
        _refuse("tools", "local models do not call tools. Send tool_choice 'none' or no tools, or ask a model of an upstream that can.")
    if request.functions and request.function_call != "none":
        _refuse("functions", f"local models do not call functions. {ELSEWHERE}")
    if _kind(request.response_format) not in {None, "text"}:
        _refuse("response_format", f"local models write text only, so its type must be 'text'. {ELSEWHERE}")
    if request.audio is not None or "audio" in (request.modalities or ()):
        _refuse("audio" if request.audio is not None else "modalities", f"local models write text only. {ELSEWHERE}")
    if request.web_search_options is not None:
        _refuse("web_search_options", f"local models do not search the web. {ELSEWHERE}")
    if request.top_logprobs and not request.logprobs:
        message = "top_logprobs: needs logprobs, which must be true."
        raise BadRequest(message, param="top_logprobs")
    check_messages(request.messages)


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Raises Unsupported for a part of a message that is not text, BadRequest for what is neither text nor a part."""
    for place, message in enumerate(messages):
        content, where = message.get("content"), f"messages[{place}].content"
        if not isinstance(content, str | list | None):
            _deny(where, "a string, a list of parts or null")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            kind, field = _kind(part), f"{where}[{index}]"
            if not isinstance(part, dict):
                _deny(field, "an object such as {'type': 'text', 'text': 'Hello!'}")
            if kind in {"text", "refusal"} and not isinstance(part.get(kind), str):
                _deny(f"{field}.{kind}", "a string")
            if kind not in {"text", "refusal"}:
                _refuse(field, f"local models read text only, not {kind!r}. Leave this part out, or ask a model of an upstream that can.")


def _kind(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else None


def _deny(field: str, wanted: str) -> NoReturn:
    fault = f"{field} must be {wanted}."
    raise BadRequest(fault, param=field)


def _refuse(field: str, why: str) -> NoReturn:
    fault = f"{field}: {why}"
    raise Unsupported(fault, param=field)
