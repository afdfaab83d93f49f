"""Training conversations about youtu-nano's problems."""

from __future__ import annotations

from random import Random

from training.common import conversation as common

from .tasks import sample


def conversation(rng: Random) -> common.Conversation:
    """A conversation in the form of `common.conversation`, with problems of every family."""
    return common.conversation(rng, lambda draw, language: sample(draw, language=language))
