"""Trains the byte-level BPE and writes it in the form that the real model's tokenizer has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from . import small_talk
from .conversation import conversation

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
SPECIAL = (BOS, EOS, "<|User|>", "<|Assistant|>")
# Marked not special, as reasoning and tool calls must survive decoding with skip_special_tokens.
MARKUP = ("<think>", "</think>", "<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

VOCAB_SIZE = 1280
MAX_LENGTH = 1024
TEMPLATE = Path(__file__).with_name("chat_template.jinja")

# Runs of Hangul, of Bopomofo, of kana and Han, and of CJK punctuation each stand alone ...
CJK = r"[가-힣ㄱ-ㆎ]+|[ㄅ-ㄯ]+|[一-龥぀-ヿ]+|[、-〿！-／：-＠…“”‘’—]+"
# ... and the rest falls into words with the mark or space before them, single digits, punctuation, white space.
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"


def corpus(count: int, seed: int) -> Iterator[str]:
    """Conversations as training sees them, with the letters often enough that " a" to " z" become tokens."""
    rng = Random(seed)
    for _ in range(count):
        talk = conversation(rng)
        text = "".join(talk.turns) + talk.reply
        for token in SPECIAL + MARKUP:
            text = text.replace(token, "\x00")
        yield from (piece for piece in text.split("\x00") if piece)
    for _ in range(count // 100):
        yield " ".join(" abcdefghijklmnopqrstuvwxyz")
    for _ in range(count // 500):
        for intents in small_talk.INTENTS.values():  # rare in the sample, yet worth whole words
            for phrases, reply in intents.values():
                yield from (*phrases, reply)


def build(seed: int = 11, count: int = 20_000) -> Tokenizer:
    """A tokenizer with all 256 bytes, so that any text survives the round trip."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CJK), "isolated"),
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = [AddedToken(t, special=True, normalized=False) for t in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(MARKUP),
        special_tokens=added,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(corpus(count, seed), trainer)
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in MARKUP])
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos)]),
        ]
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json (with the template inside) and chat_template.jinja."""
    template = TEMPLATE.read_text(encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_LENGTH,
        "truncation_side": "left",
        "chat_template": template,
    }
    tokenizer.save(str(folder / "tokenizer.json"))
    text = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
