"""What answers of Ollama's API look like, for the API's description."""

from __future__ import annotations

from typing import Any, Literal

from youtu_onnx.serve.http.answers import Shape, TokenLogprob


class OllamaError(Shape):
    """What went wrong, in Ollama's shape."""

    error: str


class CalledFunction(Shape):
    name: str
    arguments: dict[str, Any]


class OllamaCalled(Shape):
    function: CalledFunction


class OllamaSaid(Shape):
    role: Literal["assistant"]
    content: str
    thinking: str | None = None
    tool_calls: list[OllamaCalled] | None = None


class OllamaReply(Shape):
    """``done_reason`` and what follows it are in the last line; times are in nanoseconds."""

    model: str
    created_at: str
    done: bool
    logprobs: list[TokenLogprob] | None = None
    done_reason: Literal["stop", "length", "load"] | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


class OllamaChatAnswer(OllamaReply):
    message: OllamaSaid


class OllamaGenerated(OllamaReply):
    response: str
    thinking: str | None = None


class OllamaDetails(Shape):
    parent_model: str
    format: Literal["onnx"]
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(Shape):
    """``size``: of the bundle's files, in bytes."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: OllamaDetails


class OllamaModels(Shape):
    models: list[OllamaModel]


class OllamaLoaded(Shape):
    name: str
    model: str
    size: int
    digest: str
    details: OllamaDetails
    expires_at: str
    size_vram: int
    context_length: int


class OllamaRunning(Shape):
    models: list[OllamaLoaded]


class OllamaShown(Shape):
    modelfile: str
    parameters: str
    template: str
    modified_at: str
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: list[str]


class OllamaVersion(Shape):
    version: str
