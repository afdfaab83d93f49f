"""What verification asks a model: fixed, short but for one, and of the kinds that tokenizers and weights treat differently."""

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
    # Long enough for the order of attention that a graph has for long steps.
    "A ferry leaves the northern harbour at 7:15 and takes 48 minutes to the island; it waits there for a quarter of an hour "
    "and comes back against the tide, which costs it another six minutes. The captain writes every crossing into a blue "
    "notebook: the time, the wind, how many passengers, and what the gulls were doing. On Tuesday there were 112 passengers, "
    "two bicycles, one piano and a dog called Biscuit, who was sick twice. "
    "船长说，海上的天气像孩子的脸，说变就变；可是二十三年来，他从来没有迟到过一次。"
    "When does the ferry arrive at the northern harbour again, and how many notebooks would a captain fill in a year?",
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
