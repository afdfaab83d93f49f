"""The bodies that requests may have. A field that isn't here is refused by its name, unless its value means "off"."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from youtu_onnx.chat.sampling import Sampling

Text = Annotated[str, Field(max_length=4 << 20)]
Stop = Annotated[str, Field(min_length=1, max_length=500)]
TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]

OFF: Mapping[str, Callable[[Any], bool]] = {
    # fields of OpenAI's that do nothing here, and the values with which they ask for nothing
    "audio": lambda value: False,
    "best_of": lambda value: value == 1 and value is not True,
    "echo": lambda value: value is False,
    "function_call": lambda value: value in ("none", "auto"),
    "functions": lambda value: value == [],
    "metadata": lambda value: isinstance(value, dict),
    "modalities": lambda value: value == ["text"],
    "prediction": lambda value: False,
    "prompt_cache_key": lambda value: isinstance(value, str),
    "prompt_cache_retention": lambda value: isinstance(value, str),
    "reasoning_effort": lambda value: False,
    "safety_identifier": lambda value: isinstance(value, str),
    "service_tier": lambda value: value in ("auto", "default"),
    "store": lambda value: value is False,
    "suffix": lambda value: value == "",
    "verbosity": lambda value: value == "medium",
    "web_search_options": lambda value: False,
    "user": lambda value: isinstance(value, str),
}


class Body(BaseModel):
    """Strict JSON: no number in a string, no unknown field."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _WithoutOff(Body):
    """A request of OpenAI's API, less the fields that ask for nothing."""

    @model_validator(mode="before")
    @classmethod
    def _drop_off(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = set(cls.model_fields)
        return {
            name: value
            for name, value in data.items()
            if not (name not in known and name in OFF and (value is None or OFF[name](value)))
        }


class StreamOptions(Body):
    include_usage: bool | None = Field(None, description="A last chunk with the token counts.")
    include_obfuscation: Literal[False] | None = None


class SamplingFields(_WithoutOff):
    """How tokens are chosen. Where null or left out, the model's own defaults apply: GET /v1/models tells them."""

    temperature: float | None = Field(None, ge=0, le=100, allow_inf_nan=False, description="0 takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1, description="The fewest tokens that together have this probability.")
    top_k: int | None = Field(None, ge=-1, lt=1 << 31, description="Only the k likeliest tokens; 0 or -1: all.")
    seed: int | None = Field(None, ge=-(1 << 63), lt=1 << 63, description="The same seed gives the same reply.")
    repetition_penalty: float | None = Field(None, gt=0, le=100, description="Divides what prompt or reply have already; 1: off.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Taken from tokens that the reply has already.")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="The same, for each time that it has them.")
    logit_bias: dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Bias] | None = Field(
        None, max_length=1024, description="Added to the logits of tokens, by token id."
    )

    def sampling(self, defaults: Sampling, vocab_size: int, number: int = 0) -> Sampling:
        """What was asked for over the model's defaults. ``number``: of the reply, so that n replies differ.

        Raises:
            ValueError: a biased token outside the vocabulary.
        """
        seed = None if self.seed is None else (self.seed + number) % (1 << 63)
        top_k = None if self.top_k is None else max(self.top_k, 0)
        chosen = defaults.override(temperature=self.temperature, top_p=self.top_p, top_k=top_k, seed=seed)
        bias = {int(id_): value for id_, value in (self.logit_bias or {}).items()}
        if bias and max(bias) >= vocab_size:
            raise ValueError(f"token {max(bias)} is outside the vocabulary of {vocab_size}")
        fields = {
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "repetition_penalty": self.repetition_penalty,
            "logit_bias": bias or None,
        }
        return replace(chosen, **{name: value for name, value in fields.items() if value is not None})


class CommonFields(SamplingFields):
    """Of both kinds of OpenAI's completions."""

    model: str | None = Field(None, max_length=500, description="The served model's id, or left out.")
    stream: bool | None = Field(None, description="Server-Sent Events, a token at a time.")
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=128, description="So many replies.")
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = Field(
        None, description="Strings that end the reply and are not part of it."
    )
    user: str | None = Field(None, description="Accepted and not used.")

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def with_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> CommonFields:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options goes with stream: true alone")
        return self


class TextPart(Body):
    type: Literal["text", "refusal"]
    text: Text | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _has_text(self) -> TextPart:
        if (self.text is None) == (self.refusal is None):
            raise ValueError('a part of a message is {"type": "text", "text": …}; the model reads text only')
        return self


Content = Text | list[TextPart]


class CalledFunction(Body):
    name: str = Field(max_length=256)
    arguments: Text = Field(description="JSON text.")


class ToolCall(Body):
    id: str = Field(max_length=256)
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_WithoutOff):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = Field(None, description="Text, or a list of text parts.")
    name: str | None = Field(None, max_length=256)
    tool_calls: list[ToolCall] | None = Field(None, max_length=128, description="Of an assistant's message.")
    tool_call_id: str | None = Field(None, max_length=256, description="Of a tool's message: which call it answers.")
    reasoning_content: Text | None = Field(None, description="Of an assistant's message: what it thought.")
    refusal: Text | None = None

    _off: ClassVar[frozenset[str]] = frozenset({"annotations", "audio", "function_call"})

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        """What official clients send back of a reply without its having been there."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not (key in cls._off and value in (None, []))}

    @model_validator(mode="after")
    def _fits_its_role(self) -> Message:
        if self.role != "assistant" and (self.tool_calls or self.reasoning_content is not None or self.refusal is not None):
            raise ValueError("tool_calls, reasoning_content and refusal belong to assistant messages")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs tool_call_id")
        if self.role != "tool" and self.tool_call_id is not None:
            raise ValueError("tool_call_id belongs to tool messages")
        if self.content is None and self.role != "assistant":
            raise ValueError("content is missing")
        if self.role == "assistant" and self.content is None and not self.tool_calls and self.refusal is None:
            raise ValueError("content is missing, and there are no tool_calls")
        return self

    def for_template(self) -> dict[str, Any]:
        """As chat templates read it."""
        fields: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": _joined(self.content) or self.refusal or "",
        }
        if self.name is not None:
            fields["name"] = self.name
        if self.reasoning_content:
            fields["reasoning_content"] = self.reasoning_content
        if self.tool_call_id is not None:
            fields["tool_call_id"] = self.tool_call_id
        if self.tool_calls:
            fields["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": _parsed(call.function.arguments)},
                }
                for call in self.tool_calls
            ]
        return fields


def _joined(content: str | list[TextPart] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text if part.text is not None else part.refusal or "" for part in content)


def _parsed(arguments: str) -> Any:
    """Templates write objects as JSON in the model's own way. What is no object stays the text that it is."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments


class ToolFunction(Body):
    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    description: Text | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of an object.")
    strict: bool | None = Field(None, description="Refuse a schema that can't be enforced to the letter.")


class Tool(Body):
    type: Literal["function"]
    function: ToolFunction

    def for_template(self) -> dict[str, Any]:
        function = {"name": self.function.name, "description": self.function.description, "parameters": self.function.parameters}
        return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


class NamedFunction(Body):
    name: str = Field(max_length=256)


class NamedTool(Body):
    type: Literal["function"]
    function: NamedFunction


class PlainFormat(Body):
    type: Literal["text", "json_object"]


class NamedSchema(Body):
    name: str = Field(max_length=256)
    description: Text | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class SchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: NamedSchema


class TemplateOptions(Body):
    enable_thinking: bool | None = Field(None, description="Ask the model to think first, or not to.")


class ChatCompletion(CommonFields):
    """POST /v1/chat/completions"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"messages": [{"role": "user", "content": "What is 47 + 38?"}]},
                {
                    "messages": [{"role": "user", "content": "What is 47 + 38?"}],
                    "stream": True,
                    "stream_options": {"include_usage": True},
                    "chat_template_kwargs": {"enable_thinking": False},
                },
            ]
        }
    )

    messages: list[Message] = Field(min_length=1, max_length=10_000)
    max_tokens: int | None = Field(None, ge=1, lt=1 << 31, description="The reply's length, thinking included.")
    max_completion_tokens: int | None = Field(None, ge=1, lt=1 << 31, description="The same under its new name.")
    logprobs: bool | None = Field(None, description="Log probabilities of the answer's tokens.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="And those of so many likeliest.")
    response_format: PlainFormat | SchemaFormat | None = Field(
        None, description="The answer is JSON, or JSON of a schema. Thinking before it is free."
    )
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = Field(None, description="Whether a reply may hold several calls.")
    chat_template_kwargs: TemplateOptions | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> ChatCompletion:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs goes with logprobs: true alone")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are the same: send one of them")
        names = [tool.function.name for tool in self.tools or ()]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise ValueError(f"tool_choice names {self.tool_choice.function.name!r}, which is none of the tools")
        if self.tool_choice == "required" and not names:
            raise ValueError("tool_choice goes with tools")
        if self.response_format is not None and self.response_format.type != "text" and self.forced_tools:
            raise ValueError("response_format can't go with a tool_choice that leaves room for a call alone")
        return self

    @property
    def offered_tools(self) -> list[Tool]:
        """Those that the model hears of."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def forced_tools(self) -> bool:
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)

    @property
    def enable_thinking(self) -> bool | None:
        return None if self.chat_template_kwargs is None else self.chat_template_kwargs.enable_thinking

    @property
    def length(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class TextCompletion(CommonFields):
    """POST /v1/completions"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Once upon a time", "max_tokens": 32}]})

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=128)]
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[list[Annotated[list[TokenId], Field(min_length=1)]], Field(min_length=1, max_length=128)]
    ) = Field(description="Text to continue, or its token ids; or several of them.")
    max_tokens: int | None = Field(None, ge=1, lt=1 << 31, description="The length of what is added; 16 where left out.")
    logprobs: int | None = Field(None, ge=0, le=20, description="Log probabilities of the tokens and so many likeliest.")

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return [self.prompt]  # type: ignore[list-item]
        return list(self.prompt)  # type: ignore[arg-type]


class Chat(SamplingFields):
    """POST /chat"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "What is 47 + 38?"},
                {"prompt": "What is 47 + 38?", "stream": True, "max_tokens": 64, "temperature": 0.7},
            ]
        }
    )

    prompt: Text | None = Field(None, description="What to say to the model.")
    messages: list[Message] | None = Field(None, min_length=1, max_length=10_000, description="Or a whole conversation.")
    max_tokens: int | None = Field(None, ge=1, lt=1 << 31)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    enable_thinking: bool | None = Field(None, description="Ask the model to think first, or not to.")
    stream: bool | None = Field(None, description="Server-Sent Events, a token at a time.")

    @model_validator(mode="after")
    def _says_something(self) -> Chat:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either prompt or messages")
        if self.prompt is not None and not re.search(r"\S", self.prompt):
            raise ValueError("the prompt is empty")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class Render(Body):
    """POST /render"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"markdown": "**Pythagoras**: $a^2 + b^2 = c^2$"}]})

    markdown: Text
