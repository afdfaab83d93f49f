"""What is asked of an engine, and what it delivers: token ids on both ways."""

from __future__ import annotations

from dataclasses import dataclass, field

from youtu_onnx.chat.constraint import Constraint
from youtu_onnx.chat.finish import FinishReason
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.runtimes.adapters import ActiveAdapter


@dataclass(frozen=True)
class Request:
    """One reply to write.

    Attributes:
        prompt: token ids, at least one, and fewer than the context's length.
        max_tokens: at most so many tokens; the engine stops at the context's end, too.
        sampling: how tokens are chosen.
        end_ids: tokens that end the reply. They are not delivered.
        logprobs: None: none are wanted; else of each token its own, and those of so many likeliest.
        constraint: what the reply has to obey; None: nothing.
        adapter: what it is computed with, prompt and reply; None: the model without any.
        shared: so many of the prompt's first tokens are what other prompts are likely to begin with, too.
        progress: :class:`Queued` and :class:`PromptProgress` are wanted, too, until the first token.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    end_ids: frozenset[int] = frozenset()
    logprobs: int | None = None
    constraint: Constraint | None = None
    adapter: ActiveAdapter | None = None
    shared: int = 0
    progress: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether the same request is to get the same reply, in whatever company and after whatever others: the likeliest tokens
        are asked for, or a seed was given."""
        return self.sampling.deterministic or self.sampling.seed is not None


@dataclass(frozen=True)
class Queued:
    """The request waits for a place. ``position``: in the queue; 1 is the next."""

    position: int


@dataclass(frozen=True)
class PromptProgress:
    """How far the prompt is read.

    Attributes:
        total: its tokens.
        cached: those that a cache held already.
        processed: those that are in the cache by now, ``cached`` included.
        seconds: since its prefill began.
    """

    total: int
    cached: int
    processed: int
    seconds: float


@dataclass(frozen=True)
class Token:
    """One token of a reply.

    Attributes:
        id: its number in the vocabulary.
        logprob: natural logarithm of its probability after softmax of the model's logits, before temperature, penalties and
            constraints; None where not asked for.
        top: the likeliest tokens and their logprobs, likeliest first.
    """

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Ended:
    """The last event of every request.

    Attributes:
        reason: ``stop`` (an end token, or the constraint is complete), ``length`` or ``cancelled``.
        completion_tokens: delivered tokens.
        reused_tokens: of the prompt, those that a cache held already.
        queue_seconds, prefill_seconds, decode_seconds: waiting for a place; from then to the first token; from then to the end.
        error: what ended it before its time; ``reason`` is ``cancelled`` then.
    """

    reason: FinishReason
    completion_tokens: int = 0
    reused_tokens: int = 0
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    error: YoutuOnnxError | None = None


Event = Queued | PromptProgress | Token | Ended
