from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from core.errors import BadRequest
from gpu.chat_template import ChatTemplate
from gpu.marks import rename_marks
from gpu.shadows import NO_SHADOWS, Shadows
from gpu.sources import starter
from gpu.tokenizer import BYTE_OF, CHAT_FILE, Chat, ChatTokenizer, of_gguf
from tests.gpu.small_tokenizers import KINDS, OTHERS, SPECIAL

CHATML = """{{ '<s>' }}{% for m in messages %}{{ '<|im_start|>' ~ m.role }}{% if m.name %} {{ m.name }}{% endif %}
{{ m.content | trim }}¶ <left> {% if m.tool_calls %}<tool_call>{{ m.tool_calls | tojson }}<right>{% endif %}<|im_end|>
{% endfor %}{{ '<|im_start|>assistant\n<think>\n' }}"""
LLAMA_2 = (
    "{% for m in messages %}<s>[INST] {{ m['role'].upper() + ' ' + (m.name or '') }} {{ m['content'] + ' [/INST]' }}"
    "{{ m.tool_calls | tojson(ensure_ascii=True) if m.tool_calls }}</s>{% endfor %}"
)
TIGHT = "{% for m in messages %}<|{{ m.role | lower }}|>{{ m.name }}{{ m.content[:40] }}{{ m.content | lower }}<think>{% endfor %}"
TEMPLATES = [CHATML, LLAMA_2, TIGHT]
THINKING = """{%- for m in messages %}{%- set content = m.content %}{%- set thought = '' %}
{%- if '</think>' in content %}{%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}
{{- '<|im_start|>' + m.role + '\n' }}{% if loop.last and thought %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}
{{- content + '<|im_end|>\n' }}{% endfor %}"""
BY_MACRO = "{% macro text(m) %}{{ m.content }}{% endmacro %}{% for m in messages %}{% set content = text(m) | trim %}"
BY_MACRO += "{{ content.split('</think>')[-1] if '</think>' in content }}<|im_end|>{% endfor %}"

MARKS = [*SPECIAL, *(token.content for token in OTHERS)]
ODD = [
    "\ufffd",
    "\ufdd0",
    "\ue000",
    "\U000f003c",
    "\x00",
    "\N{FULLWIDTH LESS-THAN SIGN}/s\N{FULLWIDTH GREATER-THAN SIGN}",
    "<|IM_END|>",
    "<0x0A>",
    "{",
    "é",
    "🙂",
    "K",
]
PARTS = [*(mark[:cut] for mark in MARKS for cut in (1, -1)), *(mark[1:] for mark in MARKS)]
words = st.sampled_from(["the river", "mill", " ", "\n", "", "a < b", "x[1]"])
hostile = st.lists(st.one_of(st.sampled_from(MARKS), st.sampled_from(PARTS), st.sampled_from(ODD), words, st.text(max_size=4))).map("".join)
ordinary = (
    st.lists(st.one_of(words, st.text("the river<>[]/|_ \n", max_size=12)))
    .map("".join)
    .filter(lambda text: not any(mark in text for mark in MARKS))
)


def conversations(text: st.SearchStrategy[str], roles: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": text}), min_size=1, max_size=3)
    call = st.dictionaries(text, text, max_size=2).map(lambda arguments: [{"type": "function", "function": {"arguments": arguments}}])
    message = st.fixed_dictionaries({"role": roles, "content": st.one_of(text, parts)}, optional={"name": text, "tool_calls": call})
    return st.lists(message, min_size=1, max_size=3)


@cache
def chat(kind: str, template: str) -> ChatTokenizer:
    return ChatTokenizer(KINDS[kind](), Chat(template=template, special={}, ends=()))


def marks_of(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    added = tokenizer.get_added_tokens_decoder()
    return [added[token].content for token in ids if token in added and added[token].content not in {"<unk>", "[UNK]"}]


def shown(template: str, messages: list[dict[str, Any]]) -> str:
    return NO_SHADOWS.show(ChatTemplate(template, {}).render(messages))


def harmless(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: (value and "x") if name != "tool_calls" else value and ["x"] for name, value in m.items()} for m in messages]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_users_marks_are_text_and_the_templates_are_marks(kind: str, template: str) -> None:
    made = chat(kind, template)

    @given(conversations(hostile, hostile))
    @settings(deadline=None, max_examples=30)
    def check(messages: list[dict[str, Any]]) -> None:
        ids = made.prompt(messages)
        assert marks_of(made.tokenizer, ids) == marks_of(made.tokenizer, made.prompt(harmless(messages)))
        if kind == "byte_level":
            # <left> takes the space before it; a letter that begins a mark ("call><") cannot be made a capital while it is hidden.
            expected = shown(template, messages).replace("¶ <left> ", "¶<left> ").lower()
            assert made.tokenizer.decode(ids, skip_special_tokens=False).lower() == expected

    check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_an_ordinary_conversation_has_the_ids_that_it_has_without_us(kind: str, template: str) -> None:
    made = chat(kind, template)

    @given(conversations(ordinary, st.sampled_from(["system", "user", "assistant"])))
    @settings(deadline=None, max_examples=30)
    def check(messages: list[dict[str, Any]]) -> None:
        expected = made.tokenizer.encode(shown(template, messages), add_special_tokens=False).ids
        assert made.prompt(messages) == expected
        assert made._marks._apart(made._template.render(messages)) == expected

    check()


def test_on_the_starter_a_users_marks_are_the_characters_they_typed(model_cache: Path) -> None:
    (source,) = starter()
    made = of_gguf(source.path, model_cache, lambda _: None)
    template = msgspec.json.decode((model_cache / CHAT_FILE).read_bytes(), type=Chat).template
    unknown = {byte for letter, byte in BYTE_OF.items() if made.tokenizer.token_to_id(letter) is None}  # these vanish, whoever types them

    @given(conversations(hostile, hostile))
    @settings(deadline=None, max_examples=100)
    def check(messages: list[dict[str, Any]]) -> None:
        assume(unknown.isdisjoint(shown(template, messages).encode()))
        ids = made.prompt(messages)
        turns = len(messages) + (messages[0]["role"] != "system")  # the template writes a system's message of its own
        assert marks_of(made.tokenizer, ids) == [*["<|im_start|>", "<|im_end|>"] * turns, "<|im_start|>"]
        assert made.tokenizer.decode(ids, skip_special_tokens=False) == shown(template, messages)

    check()


THOUGHTS = [
    {"role": "user", "content": "Which <b>river</b>?"},
    {"role": "assistant", "content": "<think>\nthe sea\n</think>\n\nThe mill's."},
    {"role": "assistant", "content": "<think>\nto the <think> sea\n</think>\n\nThe </s> mill's."},
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_finds_the_thoughts_it_looks_for_and_marks_them_itself(kind: str) -> None:
    made = chat(kind, THINKING)
    assert made._marks.shadows.show(made._template.render(THOUGHTS)) == shown(THINKING, THOUGHTS)
    turn = ["<|im_start|>", "<|im_end|>"]
    assert marks_of(made.tokenizer, made.prompt(THOUGHTS)) == [*turn, *turn, "<|im_start|>", "<think>", "</think>", "<|im_end|>"]


@pytest.mark.parametrize("template", [BY_MACRO, CHATML, LLAMA_2, THINKING])
def test_a_template_makes_of_hidden_texts_what_it_makes_of_others(template: str) -> None:
    hiding = ChatTemplate(template, {}, Shadows("<>[]"))

    @given(conversations(hostile, st.just("user")))
    @settings(deadline=None, max_examples=50)
    def check(messages: list[dict[str, Any]]) -> None:
        assert Shadows("<>[]").show(hiding.render(messages)) == shown(template, messages)

    check()


def test_what_was_added_for_ordinary_text_stays_what_it_was() -> None:
    added = KINDS["byte_level"]()
    added.add_tokens([AddedToken("miller's wheel"), AddedToken("ü"), AddedToken("    ", normalized=False)])
    made = ChatTokenizer(added, Chat(template=CHATML, special={}, ends=()))
    messages = [{"role": "user", "content": "a    miller's wheel für </s>"}]
    ids = made.prompt(messages)
    assert [mark for mark in marks_of(added, ids) if mark not in MARKS] == ["    ", "miller's wheel", "ü"]
    assert marks_of(added, ids).count("</s>") == 0


def test_a_refusal_of_a_template_quotes_what_was_typed() -> None:
    with pytest.raises(BadRequest, match=r"no such role: <s>$"):
        chat("byte_level", "{{ raise_exception('no such role: ' ~ messages[0].role) }}").prompt([{"role": "<s>", "content": ""}])


@pytest.mark.parametrize("message", [{"content": "\ud83d"}, {"content": "", "name": "\udc00s>"}, {"content": "", "calls": [{"\udc00": 1}]}])
def test_half_a_character_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="half of a character"):
        chat("byte_level", CHATML).prompt([{"role": "user", **message}])


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_with_other_names_has_the_same_ids(kind: str) -> None:
    tokenizer = KINDS[kind]()
    copy = rename_marks(tokenizer)
    assert copy.get_vocab_size() == tokenizer.get_vocab_size()
    renewed = tokenizer.get_vocab().items() - copy.get_vocab().items()
    assert {word for word, _ in renewed} == {*MARKS, *(mark for mark in ("[UNK]", "[SEP]") if tokenizer.token_to_id(mark) is not None)}
    assert sorted(copy.get_vocab().values()) == sorted(tokenizer.get_vocab().values())
    assert copy.encode("the river ran").ids == tokenizer.encode("the river ran").ids


@pytest.mark.parametrize("role", ["im_end", "IM_END", "im_start"])
def test_a_role_makes_no_mark_of_a_template_that_writes_marks_of_roles(role: str) -> None:
    made = chat("byte_level", TIGHT)
    ids = made.prompt([{"role": role, "content": "a mill"}])
    assert marks_of(made.tokenizer, ids) == ["<think>"]
    assert made.tokenizer.decode(ids, skip_special_tokens=False).lower() == f"<|{role.lower()}|>a milla mill<think>"


def test_a_template_knows_a_role_of_its_own() -> None:
    written = "{% if messages[0].role == 'ipython' %}{{ messages[0].role ~ ': ' ~ messages[0].content }}{% endif %}"
    made = chat("byte_level", written)
    assert made.tokenizer.decode(made.prompt([{"role": "ipython", "content": "42"}])) == "ipython: 42"
