"""Token ids that come one at a time → text, in pieces that are final."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

REPLACEMENT = "\ufffd"
"""What a byte sequence that is no UTF-8 (yet) decodes to."""


class Decodes(Protocol):
    """What a stream needs of a tokenizer. ``joins``: the text of ids is the texts of its parts, one behind the other."""

    @property
    def joins(self) -> bool: ...

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str: ...


class TextStream:
    """Turns ids into text as they come. The pieces, with :meth:`finish`'s, join to ``decode`` of all the ids.

    A character whose bytes are spread over several tokens is held back until its last byte is there.
    """

    _TAIL = 8
    """Tokens that surely hold any unfinished character: it has at most 3 bytes, and a token at least one."""

    def __init__(self, tokenizer: Decodes, skip_special: bool) -> None:
        self._tokenizer, self._skip_special = tokenizer, skip_special
        self._pending: list[int] = []
        self._emitted = 0  # characters of the pending ids' text that were handed out
        # Ids in front of the pending ones. SentencePiece's decoders drop the first token's space, so a token that is not the
        # first of all must not be the first that is decoded.
        self._before: list[int] = []

    def push(self, id_: int) -> str:
        """The text that this id completes, often empty."""
        self._pending.append(id_)
        text = self._decode(self._pending)
        if not text.endswith(REPLACEMENT):
            piece = text[self._emitted :]
            self._begin_anew(text)
            return piece
        # The last U+FFFD may still turn into a character: what comes before it is final. SentencePiece's bytes are one each.
        final = len(text) - 1 if self._bounded else len(text.rstrip(REPLACEMENT))
        piece = text[self._emitted : final]
        self._emitted = max(self._emitted, final)
        self._trim(text)
        return piece

    def finish(self) -> str:
        """What was held back; the stream is empty afterwards."""
        piece = self._decode(self._pending)[self._emitted :]
        self._pending, self._emitted, self._before = [], 0, []
        return piece

    @property
    def _bounded(self) -> bool:
        """Whether at most one U+FFFD stands for bytes of a character to come."""
        return self._tokenizer.joins or len(self._pending) > 4 * self._TAIL

    def _begin_anew(self, text: str) -> None:
        if not self._tokenizer.joins:  # tokens without text (special ones that are skipped) are no first token either
            self._before = self._pending if text else [*self._before, *self._pending]
        self._pending, self._emitted = [], 0

    def _trim(self, text: str) -> None:
        """Forget old tokens of a long run of broken bytes, so that a step's cost stays bounded."""
        if len(self._pending) < 4 * self._TAIL:
            return
        head, tail = self._decode(self._pending[: -self._TAIL]), self._decode(self._pending[-self._TAIL :])
        if head + tail == text and len(head) <= self._emitted:
            self._pending = self._pending[-self._TAIL :]
            self._emitted -= len(head)

    def _decode(self, ids: Sequence[int]) -> str:
        if not self._before:
            return self._tokenizer.decode(ids, skip_special=self._skip_special)
        before = self._tokenizer.decode(self._before, skip_special=self._skip_special)
        return self._tokenizer.decode([*self._before, *ids], skip_special=self._skip_special)[len(before) :]
