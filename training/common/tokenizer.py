"""A byte-level BPE with single digits and the chat format's tokens, in the form that the real model's tokenizer has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
SPECIAL = (BOS, EOS, "<|User|>", "<|Assistant|>")
# Marked not special, as reasoning and tool calls must survive decoding with skip_special_tokens.
MARKUP = ("<think>", "</think>", "<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
TEMPLATE = Path(__file__).with_name("chat_template.jinja")

# Runs of Hangul, of Bopomofo, of kana and Han, and of CJK punctuation each stand alone ...
CJK = r"[가-힣ㄱ-ㆎ]+|[ㄅ-ㄯ]+|[一-龥぀-ヿ]+|[、-〿！-／：-＠…“”‘’—]+"
# ... and the rest falls into words with the mark or space before them, single digits, punctuation, white space.
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"


def pieces(text: str) -> Iterator[str]:
    """The parts of a chat's text between the chat format's tokens, which are no matter for merges."""
    for token in SPECIAL + MARKUP:
        text = text.replace(token, "\x00")
    yield from (piece for piece in text.split("\x00") if piece)


def build(
    corpus: Iterable[str], vocab_size: int, words: str = WORDS, max_token_length: int | None = None, min_frequency: int = 0
) -> Tokenizer:
    """A tokenizer with all 256 bytes, so that any text survives the round trip.

    `words` cuts what isn't Chinese, Japanese or Korean; `max_token_length` counts bytes of a token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CJK), "isolated"),
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = [AddedToken(t, special=True, normalized=False) for t in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKUP),
        special_tokens=added,
        show_progress=False,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in MARKUP])
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos)]),
        ]
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
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
        "model_max_length": max_length,
        "truncation_side": "left",
        "chat_template": template,
    }
    tokenizer.save(str(folder / "tokenizer.json"))
    text = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
