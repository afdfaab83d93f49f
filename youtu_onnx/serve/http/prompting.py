"""From a request's fields to what the engine gets: the prompt of a conversation, and how tokens are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.http.bodies.sampling import SamplingFields
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.service import Service
from youtu_onnx.text import Prompt


def chat_prompt(
    service: Service,
    messages: Sequence[Mapping[str, Any]],
    enable_thinking: bool | None,
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    param: str = "messages",
) -> Prompt:
    """A conversation in the model's chat template. ``param``: what the request calls it.

    Raises:
        Problem: the model has no template or no switch for thinking, or the template refuses the messages.
    """
    text = service.text
    if text.template is None:
        raise Problem(
            400, f"{text.id} has no chat template (a base model's has none); use /v1/completions", code="no_chat_template"
        )
    if enable_thinking is not None and not text.thinking_switch:
        raise Problem(400, f"{text.id} can't be told to think or not to", param="enable_thinking", code="unsupported_field")
    try:
        return text.template.prompt(messages, enable_thinking=enable_thinking, tools=tools or None)
    except UsageError as error:
        raise Problem(400, str(error.message), param=param, code="invalid_value") from error


def sampling(service: Service, body: SamplingFields, number: int = 0) -> Sampling:
    """How tokens of a request's reply are chosen; ``number``: of the reply.

    Raises:
        Problem: a biased token outside the vocabulary.
    """
    try:
        return body.sampling(service.text.sampling, service.engine.vocab_size, number)
    except ValueError as error:
        raise Problem(400, str(error), param="logit_bias", code="invalid_value") from error
