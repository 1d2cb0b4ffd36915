"""Small cross-encoders with random weights, in folders as transformers writes them; and what transformers itself makes of a pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

TOKENS = 48
MARKS = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
TEXT = ["the mill grinds corn with water", "who plays the violin under the moon", "the concert makes music SEP CLS [ ]"] * 20
LABEL: dict[str, Any] = {"num_labels": 1}
SHAPE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 200}


def write(folder: Path) -> Path:
    """One as BERT."""
    return _save(folder, BertConfig(max_position_embeddings=TOKENS, **LABEL, **SHAPE), _tokenizer(1, TOKENS))


def write_roberta(folder: Path) -> Path:
    """One as RoBERTa: no kinds of texts, and positions that begin behind the padding's id. Its tokenizer does not say how much it reads."""
    config = RobertaConfig(max_position_embeddings=TOKENS + 2, pad_token_id=1, type_vocab_size=1, **LABEL, **SHAPE)
    return _save(folder, config, _tokenizer(0, None))


def transformers_scores(folder: Path, query: str, passages: Sequence[str]) -> list[float]:
    """One pair after the other, by the model's own tokenizer and forward."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    scores: list[float] = []
    with torch.inference_mode():
        for passage in passages:
            inputs = tokenizer(query, passage, truncation="longest_first", max_length=TOKENS, return_tensors="pt")
            scores.append(float(model(**inputs).logits.sigmoid()))
    return scores


def _save(folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> Path:
    """Its weights large enough for its scores to vary."""
    torch.manual_seed(7)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(kind: int, most: int | None) -> PreTrainedTokenizerFast:
    """WordPiece, learnt from a few words. ``kind``: of the second text."""
    trained = Tokenizer(WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer()
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(
        TEXT, WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[PAD]", "[CLS]", "[SEP]"], show_progress=False)
    )
    trained.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B:{kind} [SEP]:{kind}",
        special_tokens=[(mark, trained.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")],
    )
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if kind else [])]
    limit = {} if most is None else {"model_max_length": most}
    return PreTrainedTokenizerFast(tokenizer_object=trained, model_input_names=names, **MARKS, **limit)
