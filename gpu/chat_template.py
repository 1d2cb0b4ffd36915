"""A model's chat template, rendered as transformers' ``apply_chat_template`` renders it, without importing transformers."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.errors import BadRequest
from gpu.shadows import NO_SHADOWS, Shadows
from gpu.typed import join

# For models that were never taught to chat.
PLAIN = """{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}{{ 'assistant:' }}"""
ROLES = frozenset(("system", "user", "assistant", "tool", "function"))  # whatever else is one: some templates write marks of them
FOREIGN = re.compile("[^\x00-\x7f\ud800-\udfff]+")


class ChatTemplate:
    """Compiled once. ``special`` are the names a template may use, such as ``bos_token``; ``shadows`` hide what users typed."""

    def __init__(self, source: str, special: Mapping[str, str], shadows: Shadows = NO_SHADOWS) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise, "strftime_now": _strftime_now}
        environment.concat = join  # type: ignore[method-assign]  # Jinja's own hook for what a template or macro prints
        self._template = environment.from_string(source or PLAIN)
        self._special = dict(special)
        self._shadows = shadows

    def render(self, messages: list[dict[str, Any]]) -> str:
        """The prompt, up to where the assistant speaks, with shadows in what users typed.

        Raises BadRequest in the template's own words where it refuses the messages.
        """
        typed = [
            {
                **self._shadows.mark_typed(message),
                "role": message["role"] if message["role"] in ROLES else self._shadows.word(message["role"]),
            }
            for message in _readable(messages)
        ]
        try:
            prompt = self._template.render(messages=typed, tools=None, documents=None, add_generation_prompt=True, **self._special)
            return str.__str__(prompt)  # a plain text: now a shadow is no longer taken for what it hides
        except (jinja2.TemplateError, TypeError) as error:
            message = f"This model's chat template refuses these messages: {self._shadows.show(str(error))}"
            raise BadRequest(message, param="messages") from None


def _readable(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**message, "role": _role(message), "content": _text(message.get("content"))} for message in messages]


def _role(message: dict[str, Any]) -> str:
    role = message.get("role")
    if not isinstance(role, str):
        fault = "messages: each message needs a role, such as user."
        raise BadRequest(fault, param="messages")
    return "system" if role == "developer" else role


def _text(content: Any) -> str:
    """A message's text: a string, or a list of text parts joined."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        fault = "messages: content is a string or a list of parts."
        raise BadRequest(fault, param="messages")
    return "".join(map(_part, content))


def _part(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in {"text", "refusal"}:
        fault = f"messages: this model reads text only; a part of type {kind!r} cannot be used."
        raise BadRequest(fault, param="messages")
    text = part.get(kind)
    if not isinstance(text, str):
        fault = "messages: a text part needs its text."
        raise BadRequest(fault, param="messages")
    return text


class _Generation(Extension):
    """``{% generation %}`` marks the assistant's words for training; here it is only passed through."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False) -> str:  # noqa: FBT001, FBT002 - as templates call it
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
    return FOREIGN.sub(lambda letters: json.dumps(letters[0])[1:-1], text) if ensure_ascii else text


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - templates mean the local date
