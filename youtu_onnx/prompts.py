"""What verification asks a model: short, fixed, and of the kinds that tokenizers and weights treat differently."""

from __future__ import annotations

from pathlib import Path

from youtu_onnx.text import ChatTemplate, Tokenizer

PROMPTS = (
    "Hello! Who are you?",
    "Name the capital of France.",
    "请用一句话介绍北京。",
    "What is 37 + 58? Think step by step.",
    "Write a Python function that reverses a string.",
    "把“春天来了”翻译成英文。",
    "Once upon a time, a small robot lived in an old lighthouse. One evening",
    '{"name": "Ada", "born": 1815, "languages": ["English", "法语"]}',
)


def encode_prompts(folder: Path, *, longest: int) -> list[tuple[str, list[int]]]:
    """Prompts and their token ids: a user's message in the folder's chat template, or plain text where it has none.

    Args:
        folder: of a bundle or checkpoint.
        longest: ids beyond so many are cut off at the start, as a model's own truncation does.

    Raises:
        BundleError: the tokenizer or the template can't be read.
    """
    tokenizer = Tokenizer.open(folder)
    template = ChatTemplate.open(folder, tokenizer)
    encoded = []
    for text in PROMPTS:
        ids = template.encode_chat([{"role": "user", "content": text}]) if template else tokenizer.encode(text, frame=True)
        encoded.append((text, ids[-longest:]))
    return [(text, ids) for text, ids in encoded if ids]
