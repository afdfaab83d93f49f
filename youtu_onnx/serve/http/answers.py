"""What answers look like, for the API's description. Routes write plain dicts of these shapes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

AnswerFinish = Literal["stop", "length", "tool_calls"]
"""Why a reply ended, as OpenAI's API has it. A reply that was cancelled is an error there."""


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorFields(Shape):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(Shape):
    """What went wrong, in OpenAI's shape."""

    error: ErrorFields


class PromptDetails(Shape):
    cached_tokens: int


class Usage(Shape):
    """Token counts. ``cached_tokens``: of the prompt, those that needn't be computed."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class TopLogprob(Shape):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Shape):
    content: list[TokenLogprob]
    refusal: None


class Function(Shape):
    name: str
    arguments: str


class Call(Shape):
    id: str
    type: Literal["function"]
    function: Function


class AssistantMessage(BaseModel):
    """``reasoning_content`` where the model thought, ``tool_calls`` where it calls tools."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None


class ChatChoice(Shape):
    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: AnswerFinish


class ChatCompletion(Shape):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class TextLogprobs(Shape):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(Shape):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: AnswerFinish


class TextCompletion(Shape):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: Usage


class Chat(BaseModel):
    """``thinking`` where the model thought."""

    response: str
    thinking: str | None = None
    finish_reason: AnswerFinish
    usage: Usage


class SamplingDefaults(Shape):
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    max_tokens: int


class ModelDetails(Shape):
    """``bytes``: of the bundle's files; ``memory_bytes``: what the server holds in RAM now, for all its bundles; ``version``: of
    this program."""

    family: str
    precision: str
    provider: str
    parameters: int
    bytes: int
    memory_bytes: int
    version: str


class Model(Shape):
    """``context_length``, ``defaults`` and what follows are this server's own additions; ``parent``: what an adapter is of;
    ``steps``: whether ``/explain`` takes its replies."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    parent: str | None = None
    context_length: int
    max_model_len: int
    defaults: SamplingDefaults
    chat: bool
    tools: bool
    thinking_switch: bool
    steps: bool | None = None
    loaded: bool
    details: ModelDetails


class Models(Shape):
    object: Literal["list"]
    data: list[Model]


class Health(Shape):
    status: Literal["ok", "draining"]
    model: str
    queued: int
    running: int
    places: int


class Adapter(Shape):
    """``model``: what requests name."""

    name: str
    model: str


class Adapters(Shape):
    adapters: list[Adapter]


class Rendered(Shape):
    html: str


class Step(Shape):
    """``valid``: null where no verifier knows the notation."""

    text: str
    valid: bool | None


class Steps(Shape):
    """``sound``: the share of lines and answer that are valid."""

    family: str | None
    lines: list[Step]
    answer: Step
    sound: float | None


class ReadToken(Shape):
    id: int
    text: str
    reply: bool


class Kept(Shape):
    """``open``: for each layer a digit a token, 1 where its gate was open. The rest is counted by layer and over all layers."""

    form: str
    window: int
    open: list[str]
    share_by_layer: list[float]
    rows_by_layer: list[int]
    rows: int
    dense_rows: int
    pairs_by_layer: list[int]
    pairs: int
    dense_pairs: int


class Explained(Shape):
    """``kept``: null where the model has no gates."""

    steps: Steps
    tokens: list[ReadToken]
    kept: Kept | None


Described = dict[int | str, dict[str, Any]]
"""Answers by status, as FastAPI takes them."""

ERRORS: Described = {
    400: {"model": Error, "description": "The request makes no sense, or asks for what isn't supported; param is the field."},
    401: {"model": Error, "description": "No API key, or a wrong one."},
    403: {"model": Error, "description": "The Host header names another server."},
    408: {"model": Error, "description": "The body came too slowly."},
    413: {"model": Error, "description": "The body is too large."},
    415: {"model": Error, "description": "The body is not application/json, or is encoded."},
    500: {"model": Error, "description": "The server failed."},
}
BUSY: Described = {
    404: {"model": Error, "description": "No such model."},
    429: {"model": Error, "description": "The queue is full; Retry-After says when to ask again."},
    503: {"model": Error, "description": "The server is about to stop."},
}
RESPONSE_STREAM = {"text/event-stream": {"schema": {"description": "Where stream is true: an event of its type each."}}}
STREAM = {"text/event-stream": {"schema": {"description": "Where stream is true: `data: {…}` events, then `data: [DONE]`."}}}
