"""The body of ``POST /v1/chat/completions``."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator

from youtu_onnx.serve.http.bodies.body import Body
from youtu_onnx.serve.http.bodies.message import Message
from youtu_onnx.serve.http.bodies.sampling import CompletionFields
from youtu_onnx.serve.http.bodies.tool import AllowedTools, AnswerFormat, NamedTool, Tool, ToolChoice


class TemplateOptions(Body):
    enable_thinking: bool | None = Field(None, description="Ask the model to think first, or not to.")


class ChatCompletion(CompletionFields):
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
    response_format: AnswerFormat | None = Field(
        None, description="The answer is JSON, or JSON of a schema. Thinking before it is free."
    )
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(None, description="Whether a reply may hold several calls.")
    chat_template_kwargs: TemplateOptions | None = None
    continue_final_message: bool | None = Field(
        None, description="The last message is an assistant's, and the reply goes on where it ends, as in vLLM's server."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> ChatCompletion:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs goes with logprobs: true alone")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are the same: send one of them")
        if self.continue_final_message:
            self._check_continued()
        names = [tool.function.name for tool in self.tools or ()]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        if unknown := self.chosen_tools - set(names):
            raise ValueError(f"tool_choice names {min(unknown)!r}, which is none of the tools")
        if self.tool_choice == "required" and not names:
            raise ValueError("tool_choice goes with tools")
        return self

    def _check_continued(self) -> None:
        last = self.messages[-1]
        if last.role != "assistant" or last.tool_calls or len(self.messages) == 1:
            raise ValueError("continue_final_message goes with a last message of the assistant's that is no tool call")
        if self.tools or self.response_format is not None:
            raise ValueError("continue_final_message goes with neither tools nor response_format")

    @property
    def offered_tools(self) -> list[Tool]:
        """Those that the model hears of."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def chosen_tools(self) -> set[str]:
        """Names of those that alone it may call; none: it may call all."""
        match self.tool_choice:
            case NamedTool(function=named):
                return {named.name}
            case AllowedTools(allowed_tools=allowed):
                return {one.function.name for one in allowed.tools}
        return set()

    @property
    def named_tool(self) -> bool:
        """The caller named the tool to call."""
        return isinstance(self.tool_choice, NamedTool)

    @property
    def forced_tools(self) -> bool:
        if isinstance(self.tool_choice, AllowedTools):
            return self.tool_choice.allowed_tools.mode == "required"
        return self.tool_choice == "required" or self.named_tool

    @property
    def enable_thinking(self) -> bool | None:
        return None if self.chat_template_kwargs is None else self.chat_template_kwargs.enable_thinking

    @property
    def length(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
