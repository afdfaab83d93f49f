"""The tokenizer of a checkpoint or bundle folder, on the ``tokenizers`` library alone: no torch, no transformers.

Added tokens (``<|User|>``, ``<think>``, …) steer the model, so a caller says for each text whether their literals
stand for the tokens (``special=True``: text that a template wrote) or are ordinary characters (``special=False``:
text that a person wrote).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError
from youtu_onnx.text.json_file import read_json

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
REPLACEMENT = "\ufffd"
"""What a byte sequence that is no UTF-8 (yet) decodes to."""


class Tokenizer:
    """Text ↔ token ids.

    Attributes:
        named: the named special tokens (``{"bos_token": "<|begin_of_text|>", …}``), as chat templates read them.
        added: every added token's text → id, special or not, but those of white space only.
    """

    def __init__(self, serialized: str, config: Mapping[str, Any], *, where: str = names.TOKENIZER) -> None:
        self._serialized, self._where = serialized, where
        self._tokenizer = _parse(serialized, where)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.named: dict[str, str] = {}
        for name in NAMED_TOKENS:
            text = config.get(name)
            text = text.get("content") if isinstance(text, Mapping) else text
            if isinstance(text, str):
                self.named[name] = text
        self.added: dict[str, int] = {
            token.content: id_ for id_, token in self._tokenizer.get_added_tokens_decoder().items() if token.content.strip()
        }
        longest_first = sorted(self.added, key=len, reverse=True)
        self.added_pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @classmethod
    def open(cls, folder: str | Path) -> Tokenizer:
        """Read ``tokenizer.json``, and the names of special tokens from the JSON files beside it.

        Raises:
            BundleError: a file is missing or damaged.
        """
        folder = Path(folder)
        path = folder / names.TOKENIZER
        try:
            serialized = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"can't read the tokenizer at {path}: {error}", hint="copy or export the folder again") from error
        config = {**read_json(folder / names.SPECIAL_TOKENS_MAP), **read_json(folder / names.TOKENIZER_CONFIG)}
        return cls(serialized, config, where=str(path))

    @property
    def serialized(self) -> str:
        """What ``tokenizer.json`` holds, for other libraries."""
        return self._serialized

    def named_id(self, name: str) -> int | None:
        """The id of a named token (``"eos_token"``), None where the tokenizer has no such name."""
        return self._tokenizer.token_to_id(self.named[name]) if name in self.named else None

    @property
    def bos_id(self) -> int | None:
        return self.named_id("bos_token")

    @property
    def eos_id(self) -> int | None:
        return self.named_id("eos_token")

    @property
    def pad_id(self) -> int | None:
        return self.named_id("pad_token")

    @property
    def vocab_size(self) -> int:
        """Number of tokens, the added ones included; a model's embedding may have more rows."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, special: bool = False, *, frame: bool = False) -> list[int]:
        """Token ids of a text.

        Args:
            special: whether literals of added tokens become those tokens; otherwise they are ordinary characters.
            frame: add what the tokenizer puts around a whole text (the begin-of-text token), as transformers does
                for a text that no chat template wrote.
        """
        text = _without_lone_surrogates(text)
        if special or not self.added_pattern.search(text):
            return self._tokenizer.encode(text, add_special_tokens=frame).ids
        return self._plain.encode(text, add_special_tokens=frame).ids

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD, ids beyond the vocabulary nothing."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special)

    def stream(self, *, skip_special: bool = False) -> TextStream:
        """A decoder for ids that come one at a time."""
        return TextStream(self, skip_special)

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        # The library's own switch (encode_special_tokens) spares only tokens flagged special; <think> and tool tags
        # often aren't. A twin that knows no added token can't produce one. Built on first need: few texts have any.
        fields = json.loads(self._serialized)
        fields |= {"added_tokens": [], "truncation": None, "padding": None}
        return _parse(json.dumps(fields), self._where)


class TextStream:
    """Turns ids into text as they come. The pieces, with :meth:`finish`'s, join to ``decode`` of all the ids.

    A character whose bytes are spread over several tokens is held back until its last byte is there.
    """

    _TAIL = 8
    """Tokens that surely hold any unfinished character: it has at most 3 bytes, and a token at least one."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool) -> None:
        self._tokenizer, self._skip_special = tokenizer, skip_special
        self._pending: list[int] = []
        self._emitted = 0  # characters of the pending ids' text that were handed out

    def push(self, id_: int) -> str:
        """The text that this id completes, often empty."""
        self._pending.append(id_)
        text = self._decode(self._pending)
        if not text.endswith(REPLACEMENT):
            piece = text[self._emitted :]
            self._pending, self._emitted = [], 0
            return piece
        # Only the last U+FFFD may still turn into a character: what comes before it is final.
        piece = text[self._emitted : -1]
        self._emitted = len(text) - 1
        self._trim(text)
        return piece

    def finish(self) -> str:
        """What was held back; the stream is empty afterwards."""
        piece = self._decode(self._pending)[self._emitted :]
        self._pending, self._emitted = [], 0
        return piece

    def _trim(self, text: str) -> None:
        """Forget old tokens of a long run of broken bytes, so that a step's cost stays bounded."""
        if len(self._pending) < 4 * self._TAIL:
            return
        head, tail = self._decode(self._pending[: -self._TAIL]), self._decode(self._pending[-self._TAIL :])
        if head + tail == text and len(head) <= self._emitted:
            self._pending = self._pending[-self._TAIL :]
            self._emitted -= len(head)

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special=self._skip_special)


def _parse(serialized: str, where: str) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(serialized)
    except Exception as error:  # the library raises bare Exception for whatever its Rust parser finds
        raise BundleError(f"{where} is no tokenizer: {error}", hint="copy or export the folder again") from error


def _without_lone_surrogates(text: str) -> str:
    """Halves of surrogate pairs (a terminal's broken bytes, say), which UTF-8 can't carry, become U+FFFD."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
