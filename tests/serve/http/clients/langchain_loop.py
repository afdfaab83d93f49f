"""LangChain: a model with a tool, whole and streamed, and its structured outputs. ``python langchain_loop.py URL``."""

from __future__ import annotations

import json
import sys
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field


class Numbers(BaseModel):
    """Two numbers."""

    a: int = Field(ge=0, le=9)
    b: int = Field(ge=0, le=9)


@tool(args_schema=Numbers)
def add(a: int, b: int) -> str:
    """a + b"""
    return str(a + b)


def main(url: str) -> dict[str, Any]:
    model = ChatOpenAI(
        base_url=f"{url}/v1",
        api_key="-",  # type: ignore[arg-type]
        model="youtu-nano",
        max_retries=0,
        stream_usage=True,
        max_tokens=80,  # type: ignore[call-arg]
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
    )
    calling = model.bind_tools([add], tool_choice="required", strict=True)
    found: dict[str, Any] = {}
    for name in ("invoke", "stream"):
        messages: list[Any] = [HumanMessage("What is 4 + 3?")]
        if name == "invoke":
            answer: Any = calling.invoke(messages)
        else:
            answer = None
            for chunk in calling.stream(messages):
                answer = chunk if answer is None else answer + chunk
        messages += [answer, *(ToolMessage(add.invoke(call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls)]
        last = model.bind_tools([add]).invoke(messages)
        found[name] = {
            "calls": [call["args"] for call in answer.tool_calls],
            "then": last.response_metadata["finish_reason"],
            "tokens": answer.usage_metadata["output_tokens"],
        }
    for method in ("json_schema", "function_calling"):
        structured = model.with_structured_output(Numbers, method=method, strict=True, include_raw=True)
        made = structured.invoke("Two numbers as JSON, please.")
        found[method] = None if made["parsed"] is None else made["parsed"].model_dump()
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
