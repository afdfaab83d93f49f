"""A reply, explained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from youtu_onnx.chat.generation import Generation
from youtu_onnx.chat.model import Model
from youtu_onnx.chat.opening import OpeningOptions
from youtu_onnx.chat.reply_options import Messages, ReplyOptions
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.explain.kept import Kept
from youtu_onnx.explain.steps import Asked, Steps, checked
from youtu_onnx.explain.tokens import Token, tokens
from youtu_onnx.explain.watched import WatchedDecoder
from youtu_onnx.families.microreason.family import MICROREASON
from youtu_onnx.runtimes.ort.model import OrtModel


@dataclass(frozen=True)
class Explanation:
    """
    Attributes:
        finish_reason: as that of :class:`youtu_onnx.chat.result.Result`; None where the reply wasn't written here.
        tokens: of prompt and reply.
        kept: of these tokens; None where the model has no gates, so that each layer keeps them all.
        asked: the problem that the prompt is of; None for another prompt.
    """

    prompt: str
    thinking: str
    answer: str
    finish_reason: str | None
    steps: Steps
    tokens: tuple[Token, ...]
    kept: Kept | None
    asked: Asked | None = None

    def to_dict(self) -> dict[str, Any]:
        """What ``youtu-onnx explain --json`` prints."""
        return {
            "prompt": self.prompt,
            "thinking": self.thinking,
            "answer": self.answer,
            "finish_reason": self.finish_reason,
            "problem": None if self.asked is None else self._problem(self.asked),
            "steps": self.steps.to_dict(),
            "tokens": [asdict(token) for token in self.tokens],
            "kept": None if self.kept is None else self.kept.to_dict(),
        }

    def _problem(self, asked: Asked) -> dict[str, Any]:
        return asked.to_dict() | {"right": asked.right(self.answer), "stated": asked.states(self.thinking)}


def writes_steps(bundle: Bundle) -> bool:
    """Whether a bundle's model writes in the notation that :mod:`youtu_onnx.problems` verifies."""
    return bundle.manifest.model.family == MICROREASON.name


def watched(bundle: Bundle, options: OpeningOptions) -> WatchedDecoder:
    """What :func:`youtu_onnx.chat.opening.open_model` opens a model with that shall be explained."""
    choice = options.provider
    return WatchedDecoder(
        OrtModel(bundle, choice.name, options.threads, options=choice.options, require_provider=choice.required)
    )


def explain(model: Model, prompt: str | Messages, options: ReplyOptions, asked: Asked | None = None) -> Explanation:
    """Have a model reply, and explain the reply.

    Args:
        model: opened by :func:`watched`.

    Raises:
        UsageError: as :meth:`youtu_onnx.chat.model.Model.reply`.
        BundleError: the graph keeps other rows than its gates say.
    """
    text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
    return explained(model, model.reply(prompt, options), text, asked)


def explained(model: Model, reply: Generation, prompt: str, asked: Asked | None = None) -> Explanation:
    """A reply of :meth:`youtu_onnx.chat.model.Model.reply`, of which some may have been read. The model forgets it afterwards."""
    if not isinstance(model.decoder, WatchedDecoder):
        raise UsageError("this model's steps aren't watched", hint="open it with decoder=youtu_onnx.explain.explanation.watched")
    result, ids = reply.result, reply.prompt_ids
    if missing := [*ids, *result.token_ids][model.decoder.length :]:  # the last token of all, which no other one follows
        model.decoder.prefill(missing)
    kept = model.decoder.kept
    model.reset()
    return Explanation(
        prompt,
        result.thinking,
        result.answer,
        result.finish_reason,
        checked(result.thinking, result.answer, known=writes_steps(model.bundle)),
        tokens(model.tokenizer, ids, result.token_ids),
        kept,
        asked,
    )
