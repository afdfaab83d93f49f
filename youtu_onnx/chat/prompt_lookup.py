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

from dataclasses import dataclass

from youtu_onnx.core.errors import UsageError

MOST_TOKENS = 64
"""The longest draft: its logits, as wide as the vocabulary, are all in memory at once."""


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
