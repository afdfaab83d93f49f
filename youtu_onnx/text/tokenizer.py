"""The tokenizer of a checkpoint or bundle folder, on the ``tokenizers`` library alone: no torch, no transformers.

Added tokens (``<|User|>``, ``<think>``, …) steer the model, so a caller says for each text whether their literals
stand for the tokens (``special=True``: text that a template wrote) or are ordinary characters (``special=False``:
text that a person wrote).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError
from youtu_onnx.text.json_file import read_json
from youtu_onnx.text.named_tokens import named_tokens
from youtu_onnx.text.stream import TextStream

Span = tuple[int, int]


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
        self.named: dict[str, str] = named_tokens(config)
        tokens = self._tokenizer.get_added_tokens_decoder()
        self.added: dict[str, int] = {token.content: id_ for id_, token in tokens.items() if token.content.strip()}
        longest_first = sorted(self.added, key=len, reverse=True)
        self.added_pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._acting = frozenset(self.added.values())
        # Where texts are normalized before such a token is looked for, others than its literal stand for it (ＡＢ, ab, for AB)
        self._normalizes = self._tokenizer.normalizer is not None and any(token.normalized for token in tokens.values())

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
        config, listed = read_json(folder / names.TOKENIZER_CONFIG), read_json(folder / names.SPECIAL_TOKENS_MAP)
        # transformers takes the older file's names, unless the newer one lists all tokens
        return cls(serialized, config if "added_tokens_decoder" in config else config | listed, where=str(path))

    @property
    def serialized(self) -> str:
        """What ``tokenizer.json`` holds, for other libraries."""
        return self._serialized

    @property
    def joins(self) -> bool:
        """Whether the text of ids is the texts of its parts, one behind the other, as long as no character is cut."""
        return isinstance(self._tokenizer.decoder, tokenizers.decoders.ByteLevel)

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
        ids = self._tokenizer.encode(text, add_special_tokens=frame and special).ids
        if special or not frame:
            return ids if special or not self._acts(ids) else self._ordinary(text)
        if not self._acts(ids):
            return self._tokenizer.encode(text, add_special_tokens=True).ids
        ids, framed = self._ordinary(text), self._plain.encode(text, add_special_tokens=True)
        around = [index for index, added in enumerate(framed.special_tokens_mask) if not added]
        first, last = (around[0], around[-1] + 1) if around else (len(framed), len(framed))
        return [*framed.ids[:first], *ids, *framed.ids[last:]]

    def replace_literals(self, text: str, replacement: Callable[[str], str]) -> str:
        """The text with everything replaced that stands for an added token: its literal, or what is normalized to it."""
        if not self._normalizes:
            return self.added_pattern.sub(lambda match: replacement(match[0]), text)
        text, made, start = _without_lone_surrogates(text), "", 0
        for match in self.added_pattern.finditer(text):
            made += self._replace_hidden(text[start : match.start()], replacement) + replacement(match[0])
            start = match.end()
        return made + self._replace_hidden(text[start:], replacement)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD, ids beyond the vocabulary nothing."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special)

    def stream(self, *, skip_special: bool = False) -> TextStream:
        """A decoder for ids that come one at a time."""
        return TextStream(self, skip_special)

    def _replace_hidden(self, text: str, replacement: Callable[[str], str]) -> str:
        for start, end in reversed(self._acting_spans(self._tokenizer, text)):
            text = text[:start] + replacement(text[start:end]) + text[end:]
        return text

    def _acts(self, ids: Iterable[int]) -> bool:
        return not self._acting.isdisjoint(ids)

    def _acting_spans(self, tokenizer: tokenizers.Tokenizer, text: str) -> list[Span]:
        """Where in the text added tokens come out."""
        encoding = tokenizer.encode(text, add_special_tokens=False)
        return [
            span for id_, span in zip(encoding.ids, encoding.offsets, strict=True) if id_ in self._acting and span[0] < span[1]
        ]

    def _ordinary(self, text: str) -> list[int]:
        """Ids of a text, none of them an added token's, as far as a token of several characters can be spelled otherwise."""
        ids = self._plain.encode(text, add_special_tokens=False).ids
        if not self._acts(ids):  # where the vocabulary itself has the token, SentencePiece's models find it there
            return ids
        cuts = [(start + end) // 2 for start, end in self._acting_spans(self._plain, text) if end - start > 1]
        if not cuts:
            return ids
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        return [id_ for piece in pieces for id_ in self._ordinary(piece)]

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        # The library's own switch (encode_special_tokens) spares only tokens flagged special; <think> and tool tags
        # often aren't. A twin that knows no added token doesn't look for one. Built on first need: few texts have any.
        fields = json.loads(self._serialized)
        fields |= {"added_tokens": [], "truncation": None, "padding": None}
        return _parse(json.dumps(fields), self._where)


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
