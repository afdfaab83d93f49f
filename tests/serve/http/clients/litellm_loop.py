"""LiteLLM: a call of a tool, whole and streamed, sent back as LiteLLM's own message. ``python litellm_loop.py URL``."""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm

NUMBER = {"type": "integer", "minimum": 0, "maximum": 9}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "a + b",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"a": NUMBER, "b": NUMBER},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
        },
    }
]


def main(url: str) -> dict[str, Any]:
    common: dict[str, Any] = {
        "model": "openai/youtu-nano",
        "api_base": f"{url}/v1",
        "api_key": "-",
        "max_tokens": 80,
        "num_retries": 0,
        "tools": TOOLS,
        "extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
    }
    found: dict[str, Any] = {}
    for name in ("completion", "stream"):
        messages: list[Any] = [{"role": "user", "content": "What is 4 + 3?"}]
        made: Any = litellm.completion(messages=messages, tool_choice="required", stream=name == "stream", **common)
        if name == "stream":
            made = litellm.stream_chunk_builder(list(made), messages=messages)
        message = made.choices[0].message
        calls = [json.loads(call.function.arguments) for call in message.tool_calls]
        messages.append(message)
        for call, numbers in zip(message.tool_calls, calls, strict=True):
            messages.append({"role": "tool", "tool_call_id": call.id, "name": "add", "content": str(numbers["a"] + numbers["b"])})
        last: Any = litellm.completion(messages=messages, **common)
        found[name] = {"calls": calls, "then": last.choices[0].finish_reason}
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
