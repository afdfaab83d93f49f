"""What became of a reply."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from youtu_onnx.chat.drafter import Speculation
from youtu_onnx.chat.finish import FinishReason


@dataclass(frozen=True)
class Usage:
    """Token counts. The reply's don't include the end token."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def to_dict(self) -> dict[str, int]:
        return asdict(self) | {"total_tokens": self.total_tokens}


@dataclass(frozen=True)
class Timing:
    """Seconds, and how much of the prompt the cache held already."""

    prefill_seconds: float
    decode_seconds: float
    reused_tokens: int


@dataclass(frozen=True)
class Cached:
    """Tokens that a cache was made of, and rows that each layer keeps of them."""

    tokens: int
    rows: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "rows": list(self.rows)}


@dataclass(frozen=True)
class Result:
    """A finished reply.

    Attributes:
        text: all that was generated, think tags included.
        thinking: what stands between the think tags, without the white space around it.
        answer: what follows the thinking, without the white space before it.
        token_ids: all generated ids; the end token is not among them.
        finish_reason: ``stop`` (the model ended its reply), ``length`` (max_tokens or the context is used up) or
            ``cancelled``.
        speculation: what prompt lookup did; None without it.
        cached: what the cache holds at the end; None where every layer has a row for each token.
    """

    text: str
    thinking: str
    answer: str
    token_ids: list[int]
    finish_reason: FinishReason
    usage: Usage
    timing: Timing
    speculation: Speculation | None = None
    cached: Cached | None = None

    def to_dict(self) -> dict[str, Any]:
        """What ``youtu-onnx generate --json`` prints."""
        fields: dict[str, Any] = {
            "text": self.text,
            "thinking": self.thinking,
            "answer": self.answer,
            "token_ids": self.token_ids,
            "finish_reason": self.finish_reason,
            "usage": self.usage.to_dict(),
        }
        fields |= {} if self.speculation is None else {"speculation": self.speculation.to_dict()}
        return fields | ({} if self.cached is None else {"cache": self.cached.to_dict()})
