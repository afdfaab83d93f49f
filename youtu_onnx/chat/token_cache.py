"""Which tokens a decoder holds, so that a prompt that begins like the last one costs only what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from youtu_onnx.chat.prefix import common_prefix
from youtu_onnx.chat.result import Cached
from youtu_onnx.runtimes.decoder import Decoder, steps


class TokenCache:
    """A Decoder, and which tokens are in it: so that a prompt which begins like the last one costs only what is new.

    Attributes:
        ids: all tokens in the decoder, guesses included.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.ids: list[int] = []
        self._ahead: list[np.ndarray] = []  # logits [V] after each of the last ids, which are guesses

    def start(self, prompt: Sequence[int], on_step: Callable[[int], None] | None = None) -> tuple[np.ndarray, int]:
        """Make ``prompt`` the cache's contents; logits ``[V]`` after it, and how many tokens needn't be computed.

        Args:
            on_step: told after each step how many of them are in the cache. What it raises ends the call; what was run stays.
        """
        # the last token is run again even if it is there: its logits are wanted
        shared = min(common_prefix(self.ids, prompt), len(prompt) - 1)
        if shared < len(self.ids) and not self.decoder.rewindable:
            shared = 0
        self._ahead = []
        self.decoder.rewind(len(self.ids) - shared)
        del self.ids[shared:]
        if on_step is not None:
            on_step(shared)
        for chunk in steps(prompt[shared:]):
            logits = self.append(chunk)
            if on_step is not None:
                on_step(len(self.ids))
        return logits, shared

    def append(self, ids: Sequence[int], guesses: Sequence[int] = ()) -> np.ndarray:
        """Run more tokens; logits ``[V]`` after the last.

        Args:
            guesses: tokens that may come next. They run in the same step, and :meth:`take` gives the logits after them.
        """
        self.drop_guesses()
        before, new = len(self.ids), [*ids, *guesses]
        try:
            if not guesses:
                return self.decoder.prefill(ids)
            rows = self.decoder.decode(new)
        finally:  # an interrupted prefill leaves its first steps in the cache
            self.ids += new[: max(self.decoder.length - before, 0)]
            del self.ids[self.decoder.length :]
        self._ahead = list(rows[len(ids) :])
        after: np.ndarray = rows[len(ids) - 1]
        return after

    def take(self, id_: int) -> np.ndarray | None:
        """Logits ``[V]`` after one more token if it is the next guess; if not, None, and no guess is left."""
        if self._ahead and self.ids[-len(self._ahead)] == id_:
            return self._ahead.pop(0)
        self.drop_guesses()
        return None

    @property
    def cached(self) -> Cached | None:
        """What is in the decoder, where its layers don't have a row for each token."""
        rows = self.decoder.rows
        return None if rows is None else Cached(self.decoder.length, rows)

    def drop_guesses(self) -> None:
        """Rewind the guesses that weren't taken."""
        count, self._ahead = len(self._ahead), []
        if count:
            self.decoder.rewind(count)
            del self.ids[self.decoder.length :]

    def clear(self) -> None:
        self.decoder.reset()
        self.ids, self._ahead = [], []
