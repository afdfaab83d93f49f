"""The body of ``POST /v1/completions``."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from youtu_onnx.serve.http.bodies.body import Text, TokenId
from youtu_onnx.serve.http.bodies.sampling import CompletionFields

Prompt = str | list[int]
"""Text, or token ids."""


class TextCompletion(CompletionFields):
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
    def prompts(self) -> list[Prompt]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [one for one in self.prompt if isinstance(one, int)]  # all or none are
        return [ids] if ids else [one for one in self.prompt if not isinstance(one, int)]
