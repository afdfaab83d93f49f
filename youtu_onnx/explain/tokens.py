"""Tokens with their texts, and a reply's text as the tokens that a model would have written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from youtu_onnx.text import Prompt, Tokenizer
from youtu_onnx.text.thinking import CLOSE, OPEN


@dataclass(frozen=True)
class Token:
    """
    Attributes:
        text: what it adds; the texts of a sequence join to its text. Empty where a character goes on in the next token.
        reply: whether it is of the reply, and not of the prompt.
    """

    id: int
    text: str
    reply: bool


def tokens(tokenizer: Tokenizer, prompt: Sequence[int], reply: Sequence[int]) -> tuple[Token, ...]:
    made: list[Token] = []
    for ids, replied in ((prompt, False), (reply, True)):
        stream = tokenizer.stream()
        texts = [stream.push(id_) for id_ in ids]
        if texts:
            texts[-1] += stream.finish()
        made += [Token(id_, text, replied) for id_, text in zip(ids, texts, strict=True)]
    return tuple(made)


def reply_ids(tokenizer: Tokenizer, prompt: Prompt, thinking: str, answer: str) -> list[int]:
    """Of a reply whose text is known: as chat templates write it, and as no more than text, whatever tokens it spells."""
    if not thinking and not prompt.thinking:
        return tokenizer.encode(answer)
    opening = [] if prompt.thinking else tokenizer.encode(OPEN, special=True)
    thought = tokenizer.encode(f"\n{thinking}\n")
    return [*opening, *thought, *tokenizer.encode(CLOSE, special=True), *tokenizer.encode(f"\n\n{answer}")]
