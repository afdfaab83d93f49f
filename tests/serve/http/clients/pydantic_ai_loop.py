"""pydantic-ai: an agent that has to call a tool, and then to answer by one or as JSON. ``python pydantic_ai_loop.py URL``."""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, RunContext, ToolDefinition
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Sum(BaseModel):
    """The sum."""

    number: int = Field(ge=0, le=18)


def main(url: str) -> dict[str, Any]:
    model = OpenAIChatModel("youtu-nano", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="-"))
    calls: list[dict[str, int]] = []

    def settings(context: RunContext[None]) -> Any:
        off = {"chat_template_kwargs": {"enable_thinking": False}}
        return {"max_tokens": 80, "extra_body": off, "tool_choice": "auto" if calls else ["add"]}

    async def once(context: RunContext[None], tool: ToolDefinition) -> ToolDefinition | None:
        return None if calls else tool

    def agent(output: Any) -> Agent[None, Any]:
        made = Agent(model, output_type=output, model_settings=settings, system_prompt="You add numbers.", retries=1)

        @made.tool_plain(prepare=once, strict=True)
        def add(a: int, b: int) -> str:
            """a + b"""
            calls.append({"a": a, "b": b})
            return str(a + b)

        return made

    found: dict[str, Any] = {}
    for name, output in (("tool", Sum), ("native", NativeOutput(Sum))):
        calls.clear()
        result = agent(output).run_sync("What is 4 + 3?")
        found[name] = {"calls": list(calls), "number": result.output.number, "requests": result.usage.requests}
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
