"""What OpenAI's Responses look like, for the API's description."""

from __future__ import annotations

from typing import Any, Literal

from youtu_onnx.serve.http.answers import Shape

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class Fault(Shape):
    code: str
    message: str


class Incomplete(Shape):
    reason: Literal["max_output_tokens"]


class InputDetails(Shape):
    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(Shape):
    reasoning_tokens: int


class ResponseUsage(Shape):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponseAnswer(Shape):
    """``output``: items of the types message, reasoning and function_call. What follows ``usage`` says what was asked for."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Status
    error: Fault | None
    incomplete_details: Incomplete | None
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage | None
    instructions: str | None
    max_output_tokens: int | None
    previous_response_id: str | None
    parallel_tool_calls: bool
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    temperature: float
    top_p: float
    top_logprobs: int
    text: dict[str, Any]
    reasoning: dict[str, Any]
    metadata: dict[str, str]
    store: bool
    truncation: Literal["disabled"]
    background: bool
    user: str | None


class Deleted(Shape):
    id: str
    object: Literal["response"]
    deleted: bool


class ItemList(Shape):
    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
