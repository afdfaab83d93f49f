"""The bodies of Ollama's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from youtu_onnx.serve.http.bodies.body import Body, BodyWithoutOff, Said, Stops, Text, stop_strings
from youtu_onnx.serve.http.bodies.sampling import SamplingFields
from youtu_onnx.serve.http.bodies.tool import ToolFunction
from youtu_onnx.serve.http.bodies.tool_call import CalledFunction

Name = Annotated[str, Field(min_length=1, max_length=500)]
Format = Literal["", "json"] | dict[str, Any]
Think = bool | Literal["low", "medium", "high", "max"]
KeepAlive = float | Annotated[str, Field(max_length=40)]

UNUSED = (
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap", "use_mlock",
    "embedding_only", "num_thread", "num_keep", "numa", "repeat_last_n", "mirostat_tau", "mirostat_eta", "draft_num_predict",
)  # fmt: skip
"""Options about memory and machines, which are this server's own affair, and those that belong to others that are off."""


class Options(BodyWithoutOff):
    """How tokens are chosen. What is about memory and machines is passed over."""

    off: ClassVar[Mapping[str, Callable[[Any], bool]]] = {name: lambda value: True for name in UNUSED} | {
        "tfs_z": lambda value: value == 1,
        "typical_p": lambda value: value == 1,
        "mirostat": lambda value: value == 0,
        "penalize_newline": lambda value: isinstance(value, bool),
    }

    temperature: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=1 << 31)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63, description="Below 0: any.")
    num_predict: int | None = Field(default=None, ge=-2, lt=1 << 31, description="Tokens of the reply; below 1: until it ends.")
    repeat_penalty: float | None = Field(default=None, gt=0, le=100)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    stop: Stops | None = None

    @property
    def sampling(self) -> SamplingFields:
        return SamplingFields(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            seed=None if self.seed is None or self.seed < 0 else self.seed,
            repetition_penalty=self.repeat_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=None,
        )


class OllamaFields(Body):
    """Of both kinds of replies."""

    model: Name
    format: Format | None = Field(None, description="json, or a JSON Schema.")
    options: Options | None = None
    stream: bool | None = Field(None, description="Lines of JSON, a token at a time; true where left out.")
    think: Think | None = Field(None, description="Ask the model to think first, or not to.")
    keep_alive: KeepAlive | None = Field(None, description="Accepted and not used.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def chosen(self) -> Options:
        return self.options or Options.model_validate({})

    @property
    def stops(self) -> tuple[str, ...]:
        return stop_strings(self.chosen.stop)

    @property
    def logprobs_wanted(self) -> int | None:
        """As :class:`youtu_onnx.serve.engine.request.Request` has them."""
        return (self.top_logprobs or 0) if self.logprobs else None


class OllamaCall(Said):
    function: CalledFunction
    id: str | None = Field(None, max_length=256)


class OllamaMessage(Said):
    role: Literal["system", "user", "assistant", "tool"]
    content: Text | None = None
    thinking: Text | None = None
    tool_calls: list[OllamaCall] | None = Field(None, max_length=128)
    tool_name: str | None = Field(None, max_length=256)
    images: list[Any] | None = None

    @model_validator(mode="after")
    def _is_text(self) -> OllamaMessage:
        if self.images:
            raise ValueError("images of a message are not supported: the model reads text only")
        return self

    def for_template(self, number: int) -> dict[str, Any]:
        """As chat templates read it. ``number``: of the message; calls have no ids here, and templates want some."""
        fields: dict[str, Any] = {"role": self.role, "content": self.content or ""}
        if self.thinking:
            fields["reasoning_content"] = self.thinking
        if self.tool_calls:
            fields["tool_calls"] = [
                {
                    "id": f"call_{number}_{place}",
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.value},
                }
                for place, call in enumerate(self.tool_calls)
            ]
        if self.role == "tool":
            fields |= {"tool_call_id": f"call_{number}"} | ({"name": self.tool_name} if self.tool_name else {})
        return fields


class OllamaTool(Body):
    type: Literal["function"] | None = "function"
    function: ToolFunction


class OllamaChat(OllamaFields):
    """POST /api/chat"""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "youtu-nano", "messages": [{"role": "user", "content": "What is 47 + 38?"}]}]}
    )

    messages: list[OllamaMessage] | None = Field(
        None, max_length=10_000, description="None: nothing is said, and nothing replied."
    )
    tools: list[OllamaTool] | None = Field(None, max_length=128)


class OllamaGenerate(OllamaFields):
    """POST /api/generate"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "youtu-nano", "prompt": "What is 47 + 38?"}]})

    prompt: Text | None = Field(None, description="None: nothing is said, and nothing replied.")
    system: Text | None = None
    raw: bool | None = Field(None, description="Go on with the prompt as it is, without the chat template.")
    suffix: Literal[""] | None = None
    template: Literal[""] | None = None
    context: Annotated[list[int], Field(max_length=0)] | None = None
    images: Annotated[list[Any], Field(max_length=0)] | None = None


class OllamaShow(Body):
    """POST /api/show"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "youtu-nano"}]})

    model: Name | None = None
    name: Name | None = Field(None, description="Its old name.")
    verbose: bool | None = None

    @model_validator(mode="after")
    def _names_one(self) -> OllamaShow:
        if self.model is None and self.name is None:
            raise ValueError("model is missing")
        return self
