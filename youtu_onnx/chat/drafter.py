"""Guesses at the next tokens of one reply (:mod:`youtu_onnx.chat.prompt_lookup`), and what became of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from youtu_onnx.chat.ngram_index import NgramIndex
from youtu_onnx.chat.prompt_lookup import PromptLookup

_FIRST = 2
"""Tokens of the first draft after a guess came true that wasn't run."""


@dataclass(frozen=True)
class Speculation:
    """What drafts did for a reply.

    Attributes:
        steps: runs of the model after the prompt's.
        drafted: tokens that were guessed and run.
        accepted: those of them that came true and became part of the reply; each saved a step.
    """

    steps: int
    drafted: int
    accepted: int

    @property
    def tokens_per_step(self) -> float:
        """How far a step went; 1 without accepted drafts."""
        return (self.steps + self.accepted) / self.steps if self.steps else 1.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tokens_per_step": self.tokens_per_step}


class Drafter:
    """Guesses for one reply, longer while they come true.

    A draft that was accepted whole doubles the next one's length, another halves it. At length 0 nothing is run in vain
    any more; a guess is still made, only to be compared, and once one comes true drafts begin again. So text that doesn't
    repeat itself is decoded nearly as fast as without.
    """

    def __init__(self, settings: PromptLookup, prompt: Iterable[int], stop_ids: Collection[int] = ()) -> None:
        """
        Args:
            stop_ids: end tokens, which are never guessed: nothing follows them.
        """
        self._most, self._stop_ids = settings.draft_tokens, frozenset(stop_ids)
        self._index = NgramIndex(prompt)
        self._length = 0
        self._pending: deque[int] = deque()
        self._guessed = self._ran = self._missed = False
        self._steps = self._drafted = self._accepted = 0

    @property
    def counts(self) -> Speculation:
        return Speculation(self._steps, self._drafted, self._accepted)

    def push(self, id_: int) -> None:
        """The reply went on with this token."""
        self._index.push(id_)
        if self._pending and self._pending[0] == id_:
            self._pending.popleft()
            self._accepted += self._ran
        elif self._pending:
            self._pending.clear()
            self._missed = True

    def draft(self, room: int) -> list[int]:
        """Tokens to run in the step that comes now, at most ``room``."""
        self._adapt()
        guess = self._index.continuation(min(max(self._length, 1), room))
        guess = list(takewhile(lambda id_: id_ not in self._stop_ids, guess))
        self._pending = deque(guess)
        self._guessed, self._ran, self._missed = bool(guess), self._length > 0, False
        self._steps += 1
        if not self._ran:
            return []
        self._drafted += len(guess)
        return guess

    def _adapt(self) -> None:
        """Learn from the guess before."""
        if self._missed:
            self._length //= 2
        elif self._guessed and not self._pending:
            self._length = min(2 * self._length if self._ran else _FIRST, self._most)
