"""A tokenizer of a few characters, for checkpoints whose vocabulary is tiny."""

from __future__ import annotations

import string
from pathlib import Path

import tokenizers

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


def tiny_tokenizer(normalizer: tokenizers.normalizers.Normalizer | None = None) -> tokenizers.Tokenizer:
    """104 tokens: four special ones and what ASCII prints; everything else is unknown."""
    vocab = {text: id_ for id_, text in enumerate((*SPECIAL, *string.printable))}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [], unk_token="<unk>"))
    made.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in SPECIAL])
    if normalizer is not None:
        made.normalizer = normalizer
    made.decoder = tokenizers.decoders.Fuse()
    return made


def write_tiny_tokenizer(folder: Path) -> None:
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
