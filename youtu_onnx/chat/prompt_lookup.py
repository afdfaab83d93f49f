"""Drafts without a draft model: what followed the last time that the text went like this.

A reply that quotes, edits or repeats goes on as the prompt did, or as it went itself. Prompt lookup (Saxena 2023,
https://github.com/apoorvumang/prompt-lookup-decoding) guesses the next tokens so, and one step runs the last token and
all guesses: it costs less than as many steps, above all where reading the weights is what a step waits for.

Nothing here chooses tokens. The sampler draws each token from its own logits, from the same random numbers as ever, and
a guess only decides whether those logits are at hand already: a guess is accepted if and only if the token drawn equals
it. That is speculative sampling (Leviathan et al. 2022, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318) for drafts
that leave nothing to chance. Their rule accepts the guess x with min(1, p(x) / q(x)), which is p(x) when q is all on x,
and draws a refused token from p without x; drawing from p and comparing accepts with the same p(x) and leaves the same
distribution, and no rule can accept more often, because a token distributed as p equals x with probability p(x). It also
keeps the tokens themselves, penalties and end tokens included.

What it can't keep is the last bits of the logits: see :class:`PromptLookup`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from youtu_onnx.core.errors import UsageError

NGRAMS = (16, 8, 4, 2)
"""Lengths of the runs of tokens that are looked up, longest first. Short runs recur and find the wrong place; a long one
finds the copy that is being made. Single tokens were wrong too often to pay."""

MOST_TOKENS = 64
"""The longest draft: its logits, as wide as the vocabulary, are all in memory at once."""

_FIRST = 2
"""Tokens of the first draft after a guess came true that wasn't run."""


@dataclass(frozen=True)
class PromptLookup:
    """Settings of prompt lookup.

    Replies are the same as without but for ties within rounding: ONNX Runtime sums in another order in steps of several
    tokens, which moves youtu-nano's float32 logits by 1e-5. Where activations are rounded to 8 bits (int4 and int8 on the
    CPU), such a difference now and then lifts a number over a rounding limit, and logits move by up to 0.1, as they do
    between prompts run in one piece and in several. Greedy replies hardly ever notice; a sampled reply may take another
    turn, as likely as the first.

    Attributes:
        draft_tokens: at most so many tokens are guessed at a time. Drafts are shorter where guesses fail.

    Raises:
        UsageError: ``draft_tokens`` is not a whole number from 1 to 64.
    """

    draft_tokens: int = 16

    def __post_init__(self) -> None:
        if type(self.draft_tokens) is not int or not 1 <= self.draft_tokens <= MOST_TOKENS:
            raise UsageError(f"draft_tokens is {self.draft_tokens!r}; expected a whole number from 1 to {MOST_TOKENS}")


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


class NgramIndex:
    """A growing text, and where each of its n-grams was last followed by something.

    A token costs one dictionary entry per length in ``lengths``, about 1 KB for the default ones, whatever the text's
    length; a look-up asks each dictionary once.
    """

    def __init__(self, ids: Iterable[int] = (), lengths: Iterable[int] = NGRAMS) -> None:
        self._lengths = sorted(lengths, reverse=True)
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        for one in ids:
            self.push(one)

    def push(self, id_: int) -> None:
        """Append a token. Only now are the n-grams before it known to be followed by something."""
        ids = self._ids
        for length in self._lengths:
            if length <= len(ids):
                self._after[tuple(ids[-length:])] = len(ids)
        ids.append(id_)

    def continuation(self, count: int) -> list[int]:
        """``count`` tokens that would follow if the text went on as it last did; none if its end is new.

        The longest n-gram that ends the text decides. A continuation that reaches the text's end goes on in itself, so a
        period repeats as often as asked.
        """
        ids = self._ids
        start = next(
            (self._after[end] for length in self._lengths if length <= len(ids) and (end := tuple(ids[-length:])) in self._after),
            None,
        )
        if start is None:
            return []
        period = len(ids) - start
        return [ids[start + index % period] for index in range(count)]


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
