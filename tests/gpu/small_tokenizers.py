"""Small tokenizers of the kinds that local models have, with marks of every sort, learnt from a few words."""

import json

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram, WordLevel, WordPiece
from tokenizers.trainers import BpeTrainer, Trainer, UnigramTrainer, WordLevelTrainer, WordPieceTrainer

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "[INST]", "[/INST]"]
OTHERS = [
    AddedToken("<think>", normalized=False),
    AddedToken("</think>", normalized=False),
    AddedToken("<tool_call>", normalized=False),
    AddedToken("<tool_call><tool_call>", normalized=False),
    AddedToken("call><", normalized=False, special=True),
    AddedToken("<left>", normalized=False, lstrip=True),
    AddedToken("<right>", normalized=False, rstrip=True),
    AddedToken("<alone>", normalized=False, single_word=True),
    AddedToken("<folded>", normalized=True),
]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SIGNS = "<>[]{}()|/\\_-.,:;!?#*'\"=+&%$@^~`"
TEXT = [
    "the river rose and the mill turned and the miller slept while the water ran under the bridge to the sea",
    "system user assistant im_start im_end INST think tool_call left right alone folded s unk </s <s> SEP MASK",
    *SIGNS,
    "0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz",
] * 10


def byte_level() -> Tokenizer:
    """As Llama 3 and Qwen, ``ignore_merges`` and all."""
    made = Tokenizer(BPE(ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    return _trained(made, trainer)


def llama_2() -> Tokenizer:
    """A normaliser that writes a mark for spaces, and one before each piece; what is unknown becomes bytes."""
    made = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _trained(made, _fallback())


def mistral() -> Tokenizer:
    """Metaspace that writes its mark before the first piece alone."""
    made = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _trained(made, _fallback())


def gemma() -> Tokenizer:
    """Spaces replaced, nothing written before."""
    made = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _trained(made, _fallback())


def unigram() -> Tokenizer:
    """Its model knows ``</s>`` as a piece; its normaliser makes ``<`` of a wide one."""
    made = Tokenizer(Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    made.decoder = decoders.Metaspace()
    return _trained(made, UnigramTrainer(vocab_size=150, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False))


def word_piece() -> Tokenizer:
    """As BERT."""
    made = Tokenizer(WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return _trained(made, WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", "[SEP]", *SPECIAL], show_progress=False))


def whole_words() -> Tokenizer:
    """Its model knows every mark as a word."""
    made = Tokenizer(WordLevel(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _trained(made, WordLevelTrainer(special_tokens=SPECIAL, show_progress=False))


def _fallback() -> BpeTrainer:
    return BpeTrainer(vocab_size=600, special_tokens=[*SPECIAL, *BYTES], show_progress=False)


def _trained(made: Tokenizer, trainer: Trainer) -> Tokenizer:
    made.train_from_iterator(TEXT, trainer)
    made.add_tokens(OTHERS)
    told = json.loads(made.to_str())
    told["added_tokens"] = [token for token in told["added_tokens"] if token["content"] not in BYTES]
    return Tokenizer.from_str(json.dumps(told))


KINDS = {make.__name__: make for make in (byte_level, llama_2, mistral, gemma, unigram, word_piece, whole_words)}
