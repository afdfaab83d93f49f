"""The Decoder over a bundle on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.cache_use import droppable
from youtu_onnx.runtimes.decoder import check_ids, check_rewind, steps
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.providers.options import ProviderOptions


class OrtDecoder:
    """The Decoder over an :class:`OrtModel`. Implements :class:`youtu_onnx.runtimes.adapters.AdaptedDecoder`."""

    def __init__(self, model: OrtModel) -> None:
        self.model = model
        self.vocab_size = model.bundle.manifest.model.vocab_size
        self.context_length = model.bundle.manifest.context_length
        self.rewindable = droppable(model.bundle.manifest.cache)
        self.adapters = model.adapters
        self._adapter: ActiveAdapter | None = None
        self._cache = model.new_cache()

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        provider: str | None = None,
        threads: int | None = None,
        *,
        options: ProviderOptions | None = None,
        require_provider: bool = False,
    ) -> OrtDecoder:
        return cls(OrtModel(bundle, provider, threads, options=options, require_provider=require_provider))

    @property
    def length(self) -> int:
        return self._cache.length

    @property
    def rows(self) -> tuple[int, ...] | None:
        return self._cache.rows

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        for chunk in steps(self._check(ids)):
            logits = self._append(chunk, last_only=True)
        last: np.ndarray = logits[-1].copy()  # a copy, so that the other rows' memory is freed
        return last

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        restore = self._cache.restorer()
        try:
            return np.concatenate([self._append(chunk) for chunk in steps(self._check(ids))])
        except YoutuOnnxError:
            restore()
            raise

    def rewind(self, count: int) -> None:
        check_rewind(count, self.length)
        self._cache.truncate(self.length - count)

    def use(self, adapter: ActiveAdapter | None) -> None:
        if adapter is not self._adapter:
            self.reset()
            self._adapter = adapter

    def reset(self) -> None:
        self._cache = self.model.new_cache()  # frees the memory of a long conversation, too

    def close(self) -> None:
        self.reset()
        self.model.close()

    def _check(self, ids: Sequence[int]) -> list[int]:
        return check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)

    def _append(self, ids: Sequence[int], *, last_only: bool = False) -> np.ndarray:
        """Logits ``[S, V]``, or ``[1, V]`` with ``last_only``."""
        return self.model.append(self._cache, ids, last_only=last_only, adapter=self._adapter)
