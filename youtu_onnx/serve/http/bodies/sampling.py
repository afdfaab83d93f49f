"""How a request says that tokens are chosen, and what both kinds of OpenAI's completions say beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, model_validator

from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.serve.http.bodies.body import Bias, Body, BodyWithoutOff, Stops, stop_strings


class SamplingFields(BodyWithoutOff):
    """How tokens are chosen. Where null or left out, the model's own defaults apply: GET /v1/models tells them."""

    temperature: float | None = Field(None, ge=0, le=100, allow_inf_nan=False, description="0 takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1, description="The fewest tokens that together have this probability.")
    top_k: int | None = Field(None, ge=-1, lt=1 << 31, description="Only the k likeliest tokens; 0 or -1: all.")
    min_p: float | None = Field(
        None, ge=0, le=1, description="Only tokens with this part of the likeliest one's probability; 0: all."
    )
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
        bias = {int(id_): value for id_, value in (self.logit_bias or {}).items()}
        if bias and max(bias) >= vocab_size:
            raise ValueError(f"token {max(bias)} is outside the vocabulary of {vocab_size}")
        chosen = defaults.override(temperature=self.temperature, top_p=self.top_p, top_k=top_k, seed=seed)
        return replace(
            chosen,
            min_p=_either(self.min_p, chosen.min_p),
            repetition_penalty=_either(self.repetition_penalty, chosen.repetition_penalty),
            presence_penalty=_either(self.presence_penalty, chosen.presence_penalty),
            frequency_penalty=_either(self.frequency_penalty, chosen.frequency_penalty),
            logit_bias=bias or chosen.logit_bias,
        )


def _either(asked: float | None, default: float) -> float:
    return default if asked is None else asked


class StreamOptions(Body):
    include_usage: bool | None = Field(None, description="A last chunk with the token counts.")
    include_obfuscation: Literal[False] | None = None


class CompletionFields(SamplingFields):
    """Of both kinds of OpenAI's completions."""

    model: str | None = Field(None, max_length=500, description="The served model's id, one with an adapter, or left out.")
    stream: bool | None = Field(None, description="Server-Sent Events, a token at a time.")
    stream_options: StreamOptions | None = None
    return_progress: bool | None = Field(
        None,
        description="In a stream, before the first token: chunks without choices that say the first prompt's place in the queue "
        "(`queue`) and how far it is read (`prompt_progress`, as llama.cpp's server has it).",
    )
    n: int | None = Field(None, ge=1, le=128, description="So many replies.")
    stop: Stops | None = Field(None, description="Strings that end the reply and are not part of it.")
    user: str | None = Field(None, description="Accepted and not used.")

    @property
    def stops(self) -> tuple[str, ...]:
        return stop_strings(self.stop)

    @property
    def with_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> CompletionFields:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options goes with stream: true alone")
        if self.return_progress and not self.stream:
            raise ValueError("return_progress goes with stream: true alone")
        return self
