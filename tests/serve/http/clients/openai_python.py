"""OpenAI's Python client: each of its helpers makes a call of a tool, and what it made goes back as its documents say.

``python openai_python.py URL`` prints what came of it as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import openai
from pydantic import BaseModel, Field

USER: list[Any] = [{"role": "user", "content": "What is 4 + 3?"}]
OFF: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}


class add(BaseModel):
    """a + b"""

    a: int = Field(ge=0, le=9)
    b: int = Field(ge=0, le=9)


def answered(message: Any) -> list[Any]:
    """The conversation with a message of the model's, and with what its calls gave."""
    made = []
    for call in message.tool_calls or ():
        numbers = add.model_validate_json(call.function.arguments)
        made.append({"role": "tool", "tool_call_id": call.id, "content": str(numbers.a + numbers.b)})
    return [*USER, message, *made]


def main(url: str) -> dict[str, Any]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
    model = client.models.list().data[0].id
    tools: Any = [openai.pydantic_function_tool(add)]
    chat = client.chat.completions
    helpers: dict[str, Any] = {
        "create": lambda: chat.create(
            model=model, messages=USER, tools=tools, tool_choice="required", max_tokens=80, extra_body=OFF
        ),
        "parse with tools": lambda: chat.parse(
            model=model, messages=USER, tools=tools, tool_choice="required", max_tokens=80, extra_body=OFF
        ),
        "parse with a form": lambda: chat.parse(model=model, messages=USER, response_format=add, max_tokens=80, extra_body=OFF),
        "parse with both": lambda: chat.parse(
            model=model, messages=USER, tools=tools, response_format=add, max_tokens=80, extra_body=OFF
        ),
    }
    made = {name: helper().choices[0].message for name, helper in helpers.items()}
    with chat.stream(model=model, messages=USER, tools=tools, tool_choice="required", max_tokens=80, extra_body=OFF) as stream:
        made["stream with tools"] = stream.get_final_completion().choices[0].message
    with chat.stream(
        model=model, messages=USER, response_format=add, max_tokens=80, extra_body=OFF, stream_options={"include_usage": True}
    ) as stream:
        made["stream with a form"] = stream.get_final_completion().choices[0].message
    found: dict[str, Any] = {}
    for name, message in made.items():
        last = chat.create(model=model, messages=answered(message), tools=tools, max_tokens=8)
        found[name] = {
            "calls": [json.loads(call.function.arguments) for call in message.tool_calls or ()],
            "parsed": None if getattr(message, "parsed", None) is None else message.parsed.model_dump(),
            "then": last.choices[0].finish_reason,
        }
    text = client.completions.create(model=model, prompt="Once upon a time", max_tokens=8, logprobs=2, stop=["\n"])
    found["text"] = {"calls": [], "parsed": None, "then": text.choices[0].finish_reason}
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
