import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoTokenizer

from core.errors import BadRequest, SettingsError
from gpu import tokenizer
from gpu.chat_template import ChatTemplate
from gpu.sources import starter
from gpu.tokenizer import Chat, ChatTokenizer, of_gguf
from tests.gpu import folders

CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi\n\n  there 🚀"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "?"},
    ],
    [{"role": "user", "content": ""}],
]
BREAKING = "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}"
COUNTING = "{%- set ns = namespace(n=0) %}\n{% for m in messages %}\n  {%- set ns.n = ns.n + 1 %}\n"
TEMPLATES = [
    "{% for message in messages %}{{ bos_token }}{{ message | tojson }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}",
    BREAKING + "{% generation %}{{ m.content | trim }}{% endgeneration %}{% endfor %}",
    COUNTING + "  {{ m.role ~ ns.n }}\n{% endfor %}{{ tools is none }}",
]


@pytest.fixture(scope="module")
def of_starter(model_cache: Path) -> ChatTokenizer:
    (source,) = starter()
    return tokenizer.of_gguf(source.path, model_cache, lambda _: None)


def test_the_starters_prompts_are_those_of_transformers(of_starter: ChatTokenizer) -> None:
    (source,) = starter()
    theirs = AutoTokenizer.from_pretrained(source.path.parent, gguf_file=source.path.name)
    for messages in CONVERSATIONS:
        assert of_starter.prompt(messages) == theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


@pytest.mark.parametrize("template", [*TEMPLATES, folders.TEMPLATE])
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_a_template_is_rendered_as_transformers_renders_it(tmp_path: Path, template: str, messages: list[dict[str, Any]]) -> None:
    theirs = folders.tokenizer()
    theirs.chat_template = template
    theirs.bos_token = "<end>"
    theirs.save_pretrained(tmp_path)
    assert tokenizer.of_folder(tmp_path).prompt(messages) == theirs.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )


def test_a_template_among_its_configuration_is_found_too(tmp_path: Path) -> None:
    folders.tokenizer().save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": folders.TEMPLATE}]
    for given in (folders.TEMPLATE, named):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": given}))
        assert tokenizer.of_folder(tmp_path).tokenizer.decode(tokenizer.of_folder(tmp_path).prompt(CONVERSATIONS[2])) == "<user><assistant>"


def test_without_a_template_a_conversation_is_written_plainly() -> None:
    assert (
        ChatTemplate("", {}).render(CONVERSATIONS[1]) == "system: Be brief.\nuser: Hi\n\n  there 🚀\nassistant: Hello!\nuser: ?\nassistant:"
    )


def test_a_developers_message_is_the_systems(of_starter: ChatTokenizer) -> None:
    prompts = [of_starter.prompt([{"role": role, "content": "Be brief."}]) for role in ("system", "developer")]
    assert prompts[0] == prompts[1]


def test_a_refusal_of_another_model_is_text_that_it_said() -> None:
    said = [{"role": "assistant", "content": [{"type": "refusal", "refusal": "I won't."}]}]
    assert ChatTemplate("", {}).render(said) == "assistant: I won't.\nassistant:"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"content": "no role"}], "needs a role"),
        ([{"role": "user", "content": 7}], "content is a string or a list"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "reads text only"),
        ([{"role": "user", "content": [{"type": "text"}]}], "needs its text"),
    ],
)
def test_messages_that_cannot_be_read_are_refused(messages: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        ChatTemplate("", {}).render(messages)


def test_a_template_refuses_in_its_own_words() -> None:
    with pytest.raises(BadRequest, match="roles must alternate"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}", {}).render(CONVERSATIONS[0])


def test_a_template_cannot_reach_the_interpreter() -> None:
    with pytest.raises(BadRequest):
        ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}", {}).render(CONVERSATIONS[0])


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no tokenizer\.json"):
        tokenizer.of_folder(tmp_path)


def test_an_answer_ends_where_the_model_says(tmp_path: Path) -> None:
    folders.tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"eos_token_id": 5}')
    assert tokenizer.of_folder(tmp_path).ends == {0, 5}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [6, 7]}')
    assert tokenizer.of_folder(tmp_path).ends == {0, 6, 7}


@pytest.mark.parametrize("written", ["The capital", " Ünï", "漢字 🙂", "a\n\tb"])
def test_the_bytes_of_tokens_joined_are_the_text(model_cache: Path, written: str) -> None:
    (source,) = starter()
    tokens = of_gguf(source.path, model_cache, lambda _: None)
    pieces = [tokens.piece(token) for token in tokens.tokenizer.encode(written, add_special_tokens=False).ids]
    assert b"".join(raw for _, raw in pieces).decode() == written
    assert all(text == raw.decode(errors="replace") for text, raw in pieces)


def test_sentencepieces_tokens_and_ids_without_one() -> None:
    words = {"▁river": 0, "<0x0A>": 1, "<0xE6>": 2}
    tokens = ChatTokenizer(Tokenizer(WordLevel(words, "▁river")), Chat(template="", special={}, ends=()))
    assert [tokens.piece(token) for token in range(4)] == [(" river", b" river"), ("\n", b"\n"), ("\ufffd", b"\xe6"), ("", b"")]
