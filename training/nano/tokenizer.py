"""The tokenizer of youtu-nano: a byte-level BPE trained on its own conversations."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tokenizers import Tokenizer

from training.common import tokenizer as common
from training.common.tokenizer import pieces

from . import small_talk
from .conversation import conversation

VOCAB_SIZE = 1280
MAX_LENGTH = 1024


def corpus(count: int, seed: int) -> Iterator[str]:
    """Conversations as training sees them, with the letters often enough that " a" to " z" become tokens."""
    rng = Random(seed)
    for _ in range(count):
        talk = conversation(rng)
        yield from pieces("".join(talk.turns) + talk.reply)
    for _ in range(count // 100):
        yield " ".join(" abcdefghijklmnopqrstuvwxyz")
    for _ in range(count // 500):
        for intents in small_talk.INTENTS.values():  # rare in the sample, yet worth whole words
            for phrases, reply in intents.values():
                yield from (*phrases, reply)


def build(seed: int = 11, count: int = 20_000) -> Tokenizer:
    return common.build(corpus(count, seed), VOCAB_SIZE)
