"""The checkpoint's tensors as a bundle has them, read back from its data file.

Written from what each stored matrix computes, and without what made it (``graph/parameters.py``): rows are taken back to the
places that transformers looks for them in, and factors that the graph moves from one matrix into another are found by holding
what is stored against the checkpoint. So a row in another's place, or a factor that is missing on one side, is a difference from
the checkpoint's own numbers.

What the bundle can't have is taken from the checkpoint: the gain of ``kv_a_layernorm`` where it was moved into W_UK and W_UV
(one over the sizes of the latent's channels is stored, which W_UK and W_UV have, too), how a product is parted between two
matrices, or a norm and the matrices behind it (which factor, not the product), and rows and columns that are multiplied by zeros.

Shapes: H heads, N qk_nope_head_dim, R qk_rope_head_dim, L kv_lora_rank, V v_head_dim.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Comparison, Weights
from youtu_onnx.families.stored_tables import StoredTables
from youtu_onnx.families.tied_head import EMBEDDING, HEAD
from youtu_onnx.families.youtu.twin_layer import KV_B, TwinLayer, TwinNumbers
from youtu_onnx.graphs.rounded import Floats, Rounded
from youtu_onnx.graphs.stored import StoredGraph

if TYPE_CHECKING:
    import torch

NORM = "model.norm.weight"


@dataclass(frozen=True)
class HeadsAlone:
    """``kv_b_proj`` of the twin, all else of the checkpoint."""

    twin: Weights
    checkpoint: Weights

    def tensor(self, name: str) -> torch.Tensor:
        return (self.twin if name.endswith(KV_B) else self.checkpoint).tensor(name)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        return (self.twin if name.endswith(KV_B) else self.checkpoint).rows(name, start, stop)


class Twin:
    """Implements :class:`youtu_onnx.families.reference.Twin`. Holds one layer: that of the tensor asked for last."""

    def __init__(
        self, stored: StoredGraph, cache: CacheLayout, checkpoint: Checkpoint, numbers: TwinNumbers, *, rescaled: bool
    ) -> None:
        self._stored, self._checkpoint, self._numbers, self._rescaled = stored, checkpoint, numbers, rescaled
        self._byte_cache = cache.dtype == "uint8"
        self._a = checkpoint.architecture
        self._tables = StoredTables(stored, checkpoint)
        self._held: tuple[int, dict[str, Floats]] = (-1, {})

    def tensor(self, name: str) -> torch.Tensor:
        """float32. A layer's tensors are undone together."""
        if name == NORM:
            return self._given(name, self._stored.array(NORM).astype(np.float32))
        if not name.startswith("model.layers."):
            return self.rows(name, 0, self._a.vocab_size)
        index = int(name.split(".")[2])
        if self._held[0] != index:
            self._held = (-1, {})  # dropped before the next is made
            made = {one.name: one.tensor for one in self._layer(index).undone() if one.tensor is not None}
            self._held = (index, made)
        return self._given(name, self._held[1][name.split(".", 3)[3]])

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Of an embedding or a head; of other tensors all are made."""
        if name not in (EMBEDDING, HEAD):
            return self.tensor(name)[start:stop]
        return self._tables.rows(name, start, stop)

    def heads_alone(self) -> Weights | None:
        return HeadsAlone(self, self._checkpoint) if self._layer(0).integer_heads else None

    def comparisons(self) -> Iterator[Comparison]:
        yield from self._tables.positions(self._numbers.inverse_frequencies, self._numbers.rotation_scale)
        yield from self._tables.embedding()
        for index in range(self._a.num_hidden_layers):
            layer = self._layer(index)
            for one in layer.undone():
                yield Comparison(f"{layer.prefix}{one.name}", one.found, one.wanted())
        norm = Rounded.floats(self._stored.array(NORM))
        yield Comparison(NORM, norm, self._checkpoint.tensor(NORM).float().numpy().reshape(-1, 1))
        yield from self._tables.head()

    def _layer(self, index: int) -> TwinLayer:
        return TwinLayer(
            self._stored, self._checkpoint, self._numbers, index, byte_cache=self._byte_cache, rescaled=self._rescaled
        )

    def _given(self, name: str, values: Floats) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).reshape(self._checkpoint.tensors[name].shape)
