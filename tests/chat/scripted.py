"""A decoder that says what a test wrote for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from youtu_onnx.runtimes.decoder import check_ids, check_rewind
from youtu_onnx.text import Tokenizer

NANO = Path(__file__).parents[2] / "youtu_onnx" / "models" / "youtu_nano"
TOKENIZER = Tokenizer.open(NANO)
EOS = TOKENIZER.eos_id
assert EOS is not None


class Scripted:
    """A Decoder that replies with given tokens and counts what it is made to compute."""

    vocab_size = 1280
    rewindable = True
    rows = None

    def __init__(self, reply: str | Sequence[int], context_length: int = 100) -> None:
        self.reply = [*TOKENIZER.encode(reply, special=True), EOS] if isinstance(reply, str) else list(reply)
        self.context_length, self.length, self.computed = context_length, 0, 0
        self.spoken = 0
        self.breaks_after: int | None = None

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        ids = check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)
        if self.breaks_after is not None:
            self.length += self.breaks_after
            raise KeyboardInterrupt
        self.length += len(ids)
        self.computed += len(ids)
        logits = np.zeros(self.vocab_size, np.float32)
        logits[self.reply[self.spoken % len(self.reply)]] = 9
        self.spoken += 1
        return logits

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        return np.stack([self.prefill([one]) for one in ids])

    def rewind(self, count: int) -> None:
        check_rewind(count, self.length)
        assert self.rewindable or count in (0, self.length)
        self.length -= count

    def reset(self) -> None:
        self.length = 0

    def close(self) -> None: ...
