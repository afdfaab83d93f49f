"""What every consumer of a bundle of youtu-nano must give, made by transformers and PyTorch alone.

    python -m tests.vectors.make

writes ``youtu_nano.json`` beside this file. Consumers in any language read it:

- ``texts``: ``text`` and its ``ids`` without any framing; ``ids`` decode to ``text`` again.
- ``literals``: the same for texts in which control tokens' literals stand for the tokens, as a template writes them.
- ``chats``: ``messages`` and ``options`` of the chat template, the ``prompt`` that it renders, and the prompt's ``ids``.
- ``greedy``: prompt ``ids`` and the ``tokens`` that follow greedily in float32, the end token last where it came.
- ``logits``: for each of ``greedy``'s prompts, in its order, the row that follows it in float32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NANO = HERE.parent.parent / "youtu_onnx" / "models" / "youtu_nano"
FILE = HERE / "youtu_nano.json"

TEXTS = (
    "Hello, world!",
    "What is 47 + 38?",
    " ",
    "\n",
    "  two  spaces\t\ttabs \r\n  and a line",
    "The quick brown fox's jump.",
    "I'm, you're, we'll, THEY'VE 'd 'S",
    "你好，世界。今天天气怎么样？",
    "中文English混排123和４５６",
    "请把“你好”翻译成英文：good morning！",
    "日本語のテキスト と 한국어",
    "emoji 😀 👩‍👩‍👧‍👦 🇨🇳 ❤️",
    "control \x00\x01\x07\x1b[31m\x7f\x85",
    "zero\u200bwidth \u202ertl עברית العربية",
    "café cafe\u0301 ﬀ Ⅷ 𝕌𝕟𝕚 \U0010ffff",
    "def f(x):\n    return x**2  # square\n",
    "for (int i = 0; i < n; ++i) { sum += a[i]; }",
    '{"name": "weather", "arguments": {"city": "Zürich"}}',
    "<b>html & 'quotes' \"double\"</b>",
    "{{ jinja }} {% raw %}",
    "| < > <| |> <|x|> </ <thin",
    "1",
    "12345678901234567890123456789012345678901234567890",
    "3.14159 -1e-7 0x1F 1,000,000",
    "a" * 300,
    "ab " * 60,
    "\n\n\n   \n\t",
    "https://example.org/a?b=c&d=%20#e",
)
LITERALS = (
    "<|begin_of_text|>",
    "<|User|>hi<|Assistant|>",
    "<think>\nso\n</think>\n\nyes<|end_of_text|>",
    "<tool_call>\n{}\n</tool_call>",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a place",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
USER = {"role": "user", "content": "What is 47 + 38?"}
CHATS: tuple[tuple[list[dict[str, Any]], dict[str, Any]], ...] = (
    ([USER], {}),
    ([USER], {"enable_thinking": False}),
    ([{"role": "system", "content": "Be brief. 简短回答。"}, USER], {}),
    (
        [
            USER,
            {"role": "assistant", "content": "85", "reasoning_content": "40 + 30 = 70, 7 + 8 = 15"},
            {"role": "user", "content": "再加一呢？"},
        ],
        {},
    ),
    ([USER, {"role": "assistant", "content": "<think>\nsum\n</think>\n\n85"}, {"role": "user", "content": "😀\n\tthanks  "}], {}),
    ([USER], {"tools": [TOOL]}),
    ([USER], {"add_generation_prompt": False}),
)
ASKED = (
    "What is 47 + 38?",
    "Calculate 28 × 5.",
    "What is 477 - 87?",
    "33 ÷ 4 = ?",
    "3 + 4 = ?",
    "计算 25 + 17。",
    "Say hello.",
    "你好",
)
"""What greedy answers are given to, as the only message of a chat."""
MOST_TOKENS = 64


def make() -> dict[str, Any]:
    """The vectors, computed anew."""
    import torch
    import transformers
    from transformers import AutoTokenizer, YoutuForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(NANO)
    model = YoutuForCausalLM.from_pretrained(NANO, dtype=torch.float32).eval()

    def rendered(messages: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        choices = {"add_generation_prompt": True} | options
        return {
            "messages": messages,
            "options": options,
            "prompt": tokenizer.apply_chat_template(messages, tokenize=False, **choices),
            "ids": list(tokenizer.apply_chat_template(messages, **choices)["input_ids"]),
        }

    greedy, logits = [], []
    for question in ASKED:
        ids = rendered([{"role": "user", "content": question}], {})["ids"]
        with torch.inference_mode():
            logits.append([round(value, 5) for value in model(torch.tensor([ids])).logits[0, -1].tolist()])
            made = model.generate(
                torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
                do_sample=False,
                max_new_tokens=MOST_TOKENS,
                pad_token_id=tokenizer.eos_token_id,
            )
        greedy.append({"text": question, "ids": ids, "tokens": made[0, len(ids) :].tolist()})
    return {
        "model": "youtu-nano",
        "made_by": f"transformers {transformers.__version__}",
        "texts": [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False)} for text in TEXTS],
        "literals": [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False)} for text in LITERALS],
        "chats": [rendered(messages, options) for messages, options in CHATS],
        "greedy": greedy,
        "logits": logits,
    }


def written(vectors: dict[str, Any]) -> str:
    """JSON in ASCII, a line for each entry."""
    parts = []
    for name, value in vectors.items():
        entries = ",\n  ".join(map(json.dumps, value)) if isinstance(value, list) else None
        parts.append(f"{json.dumps(name)}: " + (json.dumps(value) if entries is None else f"[\n  {entries}\n ]"))
    return "{\n " + ",\n ".join(parts) + "\n}\n"


if __name__ == "__main__":
    vectors = make()
    FILE.write_text(written(vectors), encoding="utf-8")
    print(f"{FILE.name}: {', '.join(f'{len(vectors[name])} {name}' for name in ('texts', 'literals', 'chats', 'greedy'))}")
