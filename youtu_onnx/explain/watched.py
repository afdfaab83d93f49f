"""A decoder that remembers what its model's gates said of each token, as the graph's own cache tells it.

A routed graph returns a number beside each row that it keeps, open or shut, and the last ``attention_window - 1`` rows are the
last tokens. So steps here are no longer than that, and each token's number is seen before its row may leave. A masked graph has
all numbers, at the ends of its keys.

Shapes: L layers, S new tokens, T tokens, R rows of a layer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.explain.kept import Kept
from youtu_onnx.families.known import architecture_of
from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.cache import MASKED, OPEN, ROUTED
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK, check_ids, check_rewind, steps
from youtu_onnx.runtimes.ort.model import OrtModel


def gates_of(bundle: Bundle) -> Architecture | None:
    """What a bundle's model is, where it has gates in use; else None."""
    architecture = architecture_of(bundle.manifest.model)
    return architecture if isinstance(architecture, Architecture) and architecture.attention_routing else None


class WatchedDecoder:
    """The Decoder over an :class:`OrtModel`. Implements :class:`youtu_onnx.runtimes.adapters.AdaptedDecoder`.

    Its sequence is never rewound in part, whatever the cache allows: what was seen of it is of whole sequences.
    """

    rewindable = False

    def __init__(self, model: OrtModel) -> None:
        manifest = model.bundle.manifest
        self.model, self.adapters = model, model.adapters
        self.vocab_size, self.context_length = manifest.model.vocab_size, manifest.context_length
        self._layout, self._gated = manifest.cache, gates_of(model.bundle)
        self._routed = self._gated is not None and manifest.cache.form == ROUTED
        self._adapter: ActiveAdapter | None = None
        self.reset()

    @property
    def length(self) -> int:
        return self._length

    @property
    def rows(self) -> tuple[int, ...] | None:
        return self._layout.rows_by_layer([value.shape()[2] for value in self._past or ()]) if self._length else None

    @property
    def kept(self) -> Kept | None:
        """What was seen of the sequence in the cache; None where the model has no gates."""
        if self._gated is None:
            return None
        gates = np.array(self._gates, bool) if self._routed else self._masked_gates()
        rows = self.rows or (self.length,) * len(gates)
        return Kept(ROUTED if self._routed else MASKED, self._gated.attention_window, gates, rows)

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        for chunk in steps(self._check(ids), self._step):
            logits = self._append(chunk, last_only=True)
        last: np.ndarray = logits[-1].copy()
        return last

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        return np.concatenate([self._append(chunk) for chunk in steps(self._check(ids), self._step)])

    def rewind(self, count: int) -> None:
        check_rewind(count, self.length)
        if count not in (0, self.length):
            raise UsageError("a watched sequence isn't taken back in part", hint="drop all of it, and run what shall stay again")
        if count:
            self.reset()

    def use(self, adapter: ActiveAdapter | None) -> None:
        if adapter is not self._adapter:
            self.reset()
            self._adapter = adapter

    def reset(self) -> None:
        self._past: list[ort.OrtValue] | None = None
        self._length = 0
        layers = self._layout.num_layers
        self._gates: list[list[bool]] = [[] for _ in range(layers)]
        self._places: list[list[int]] = [[] for _ in range(layers)]

    def close(self) -> None:
        self.reset()
        self.model.close()

    @property
    def _step(self) -> int:
        return max(1, self._gated.attention_window - 1) if self._routed and self._gated else PREFILL_CHUNK

    def _check(self, ids: Sequence[int]) -> list[int]:
        return check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)

    def _append(self, ids: Sequence[int], *, last_only: bool = False) -> np.ndarray:
        """Logits ``[S, V]``, or ``[1, V]`` with ``last_only``."""
        total = self._length + len(ids)
        logits, presents = self.model.run(
            np.array([ids], np.int64),
            np.ones((1, total), np.int64),
            np.arange(self._length, total)[None],
            self._past,
            last_only=last_only,
            adapter=self._adapter,
        )
        self._past, self._length = presents, total
        if self._routed:
            self._read(len(ids))
        rows: np.ndarray = logits[0]
        return rows

    def _read(self, new: int) -> None:
        """What the numbers beside the rows say of the tokens of a step, and that no row is there or gone without them."""
        window = self._gated.attention_window if self._gated else 1
        for tensor, value in zip(self._layout.tensors, self._past or (), strict=True):
            if tensor.role != "gate":
                continue
            numbers = value.numpy().reshape(-1)  # [R]
            gates, places = self._gates[tensor.layer], self._places[tensor.layer]
            # in a window of one, only the rows of open tokens are there when a step is over
            opened = numbers[-new:] == OPEN if window > 1 else np.array([len(numbers) > len(places)])
            gates += opened.tolist()
            places += range(self._length - new, self._length)
            places[:] = [place for place in places if gates[place] or place > self._length - window]
            if [gates[place] for place in places] != (numbers == OPEN).tolist():
                raise BundleError(
                    f"layer {tensor.layer} has {len(numbers)} rows after {self._length} tokens, and its gates keep {len(places)}",
                    hint="the bundle's graph and manifest don't belong together: export it again",
                )

    def _masked_gates(self) -> NDArray[np.bool_]:
        """``[L, T]``: the last number of a key is 1 where its gate was shut."""
        keys = [value for tensor, value in zip(self._layout.tensors, self._past or (), strict=True) if tensor.role == "key"]
        return np.stack([value.numpy()[0, 0, : self._length, -1] == OPEN for value in keys])
