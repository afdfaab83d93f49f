"""What a caller chooses for one reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from youtu_onnx.chat.sampling import Sampling

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ReplyOptions:
    """Choices for one reply; None leaves one to the bundle.

    Attributes:
        max_tokens: at most so many tokens, and never more than the context has room for.
        temperature, top_k, top_p, seed, greedy: as in :class:`Sampling`.
        raw: continue the prompt as it is, without the chat template.
        enable_thinking: passed to the chat template.
        tools: JSON schemas of functions that the model may call.
        schema: JSON schema that the answer has to obey, thinking left free; None: none. Needs llguidance.
        adapter: name of one of the model's adapters; ``base`` is none of them.

    Raises:
        UsageError: numbers that can't be, or greedy together with what only sampling uses.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    greedy: bool | None = None
    raw: bool = False
    enable_thinking: bool | None = None
    tools: Messages | None = None
    adapter: str | None = None
    schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.sampling(Sampling())

    def sampling(self, defaults: Sampling) -> Sampling:
        """A bundle's defaults with what was chosen."""
        return defaults.override(
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, seed=self.seed, greedy=self.greedy
        )
