"""Replies that were written elsewhere, explained: the model reads them as it would have written them."""

from __future__ import annotations

import threading

from youtu_onnx.chat.opening import OpeningOptions
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.explain.explanation import Explanation, watched, writes_steps
from youtu_onnx.explain.steps import checked
from youtu_onnx.explain.tokens import reply_ids, tokens
from youtu_onnx.explain.watched import WatchedDecoder
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.text import Prompt, Tokenizer


class Explainer:
    """For use from any thread; explains one reply at a time. The bundle is opened when it is first needed, and stays open.

    Args:
        options: of which provider and threads count.
    """

    def __init__(self, bundle: Bundle, tokenizer: Tokenizer, options: OpeningOptions) -> None:
        self.bundle, self._tokenizer, self._options = bundle, tokenizer, options
        self._decoder: WatchedDecoder | None = None
        self._lock = threading.Lock()

    @property
    def context_length(self) -> int:
        return self.bundle.manifest.context_length

    def explain(
        self, prompt: Prompt, thinking: str, answer: str, *, most: int, adapter: ActiveAdapter | None = None
    ) -> Explanation:
        """
        Args:
            most: tokens of prompt and reply together.
            adapter: that the reply was written with, of any session on this bundle.

        Raises:
            UsageError: they are more.
            As :class:`youtu_onnx.runtimes.ort.model.OrtModel` where the bundle can't be opened, or not be run.
        """
        thinking, answer = thinking.strip("\n"), answer.strip()
        reply = reply_ids(self._tokenizer, prompt, thinking, answer)
        ids = [*prompt.token_ids, *reply]
        if len(ids) > (limit := min(most, self.context_length)):
            raise UsageError(
                f"prompt and reply have {len(ids):,} tokens, and at most {limit:,} are explained", hint="explain a shorter reply"
            )
        with self._lock:
            if self._decoder is None:
                self._decoder = watched(self.bundle, self._options)
            self._decoder.use(adapter)
            try:
                self._decoder.prefill(ids)
                kept = self._decoder.kept
            finally:
                self._decoder.reset()
        steps = checked(thinking, answer, known=writes_steps(self.bundle))
        return Explanation("", thinking, answer, None, steps, tokens(self._tokenizer, prompt.token_ids, reply), kept)
