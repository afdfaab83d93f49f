"""What a bundle stores outside of its layers, beside what it should be: embedding, head, and what says where a token is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Comparison
from youtu_onnx.families.tied_head import EMBEDDING, HEAD
from youtu_onnx.graphs.rounded import Floats, Rounded
from youtu_onnx.graphs.stored import StoredGraph
from youtu_onnx.graphs.stored_matrix import StoredMatrix

if TYPE_CHECKING:
    import torch

CHUNK = 2**23
"""Numbers of an embedding, a head or a table of rotations that are compared at a time."""
TABLE_STEP = 2.0**-10
"""Of float16 between 0.5 and 1, where most cosines and sines are."""


class StoredTables:
    def __init__(self, stored: StoredGraph, checkpoint: Checkpoint) -> None:
        self._stored, self._checkpoint, self._a = stored, checkpoint, checkpoint.architecture

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """float32, of the embedding or the head."""
        import torch

        return torch.from_numpy(self._matrix(name).rows(slice(start, stop)).values)

    def embedding(self) -> Iterator[Comparison]:
        return self._chunks(EMBEDDING, EMBEDDING)

    def head(self) -> Iterator[Comparison]:
        return self._chunks(HEAD, EMBEDDING if self._a.tie_word_embeddings else HEAD)

    def positions(self, frequencies: Floats, scale: float = 1.0) -> Iterator[Comparison]:
        """Frequencies ``[R/2]``, or cosines and sines, the sines of a pair's first half negative, times ``scale``; and numbers of
        rows."""
        if self._stored.has("model.inv_freq"):
            found = Rounded.floats(self._stored.array("model.inv_freq"))
            yield Comparison("model.inv_freq (of RoPE)", found, frequencies[:, None])
        for name, turn, sign in (("model.rope_cos", np.cos, 1), ("model.rope_sin", np.sin, -1)):
            if not self._stored.has(name):
                continue
            table = self._stored.array(name)
            step = max(1, CHUNK // table.shape[1])
            for start in range(0, len(table), step):
                part = table[start : start + step].astype(np.float32)
                angles = np.outer(np.arange(start, start + len(part), dtype=np.float32), frequencies)
                half = turn(angles) * np.float32(scale)
                steps = np.full((len(part), 1), TABLE_STEP * scale, np.float32)
                wanted = np.concatenate([sign * half, half], 1).astype(np.float32)
                yield Comparison(f"{name} (of RoPE)", Rounded(part, "float16", steps), wanted, start)
        if self._stored.has("model.slots"):
            numbers = Rounded.floats(self._stored.array("model.slots"))
            yield Comparison("model.slots (numbers of rows)", numbers, np.arange(len(numbers), dtype=np.float32)[:, None])

    def _matrix(self, name: str) -> StoredMatrix:
        """A tied head of floats is read from the embedding's initializer."""
        if name == EMBEDDING:
            return self._stored.table("input_ids", self._a.hidden_size)
        tied = self._a.tie_word_embeddings and self._stored.has(EMBEDDING)
        return self._stored.matrix(EMBEDDING if tied else HEAD)

    def _chunks(self, name: str, own: str) -> Iterator[Comparison]:
        """``own``: the checkpoint's tensor that it should be."""
        matrix, step = self._matrix(name), max(1, CHUNK // self._a.hidden_size)
        for start in range(0, self._a.vocab_size, step):
            stop = min(start + step, self._a.vocab_size)
            wanted = self._checkpoint.rows(own, start, stop).float().numpy()
            yield Comparison(name, matrix.rows(slice(start, stop)), wanted, start)
