"""Small models of transformers with random weights, in folders as transformers writes them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

VOCABULARY = 320
TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{{ eos_token }}{% endfor %}<assistant>"
TEXT = ["the river rose and the mill turned and the miller slept while the water ran under the bridge to the sea"] * 20


def write(folder: Path, config: PreTrainedConfig) -> PreTrainedModel:
    """A model of this shape, its weights large enough for its answers to vary; with a tokenizer and a chat template."""
    torch.manual_seed(3)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, learnt from a few words."""
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        TEXT, BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False)
    )
    made = PreTrainedTokenizerFast(tokenizer_object=trained, eos_token="<end>")
    made.chat_template = TEMPLATE
    return made
