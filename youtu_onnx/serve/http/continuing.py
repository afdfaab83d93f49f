"""A prompt that ends in the middle of a reply, so that the model goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from youtu_onnx.text import Prompt, Tokenizer
from youtu_onnx.text.thinking import CLOSE, OPEN


def continued(prompt: Prompt, begun: Mapping[str, Any], tokenizer: Tokenizer, *, thinks: bool) -> Prompt:
    """The prompt with what an assistant's message has already: its thinking, open where no answer follows it yet, and its answer.

    Args:
        prompt: ends where a reply begins.
        begun: ``content`` and perhaps ``reasoning_content``, as templates read them.
        thinks: whether the prompt leaves room for thinking; else there is none in it.
    """
    thought, said = begun.get("reasoning_content") or "", begun["content"]
    pieces: list[tuple[str, bool]] = []  # with whether tags in it are the reply's own
    if thought and thinks:
        pieces += [("" if prompt.thinking else f"{OPEN}\n", True), (thought, False)]
    inside = prompt.thinking or bool(thought and thinks)
    if said:
        pieces += [(f"\n{CLOSE}\n\n" if inside else "", True), (said, False)]
    ids = list(prompt.token_ids)
    for text, own in pieces:
        ids += tokenizer.encode(text, special=own) if text else []
    return replace(prompt, text=prompt.text + "".join(text for text, _ in pieces), token_ids=ids, thinking=inside and not said)
