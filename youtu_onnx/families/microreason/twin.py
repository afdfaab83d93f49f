"""The checkpoint's tensors as a bundle has them, read back from its data file.

Written from what each stored matrix computes, and without what made it: ``qkv_proj`` holds three of the checkpoint's matrices one
above the other and ``gate_up_proj`` two, the softmax scale is in ``q_norm``, and of a
gate its row is stored as a column and its bias with the other sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.microreason.architecture import Architecture
from youtu_onnx.families.microreason.twin_factors import LayerFactors
from youtu_onnx.families.reference import Comparison, Weights
from youtu_onnx.families.stored_tables import StoredTables
from youtu_onnx.families.tied_head import EMBEDDING, HEAD
from youtu_onnx.graphs.rounded import Floats, Rounded
from youtu_onnx.graphs.stored import StoredGraph

if TYPE_CHECKING:
    import torch

NORM = "model.norm.weight"


class Twin:
    """Implements :class:`youtu_onnx.families.reference.Twin`. Holds one layer: that of the tensor asked for last."""

    def __init__(
        self, stored: StoredGraph, checkpoint: Checkpoint, frequencies: Floats, softmax_scale: float, *, rescaled: bool
    ) -> None:
        """``frequencies``: of rotations, float32 ``[head_dim / 2]``; they and the scale are the reference's. ``rescaled``: there
        may be factors between inputs and matrices."""
        self._stored, self._checkpoint, self._rescaled = stored, checkpoint, rescaled
        self._frequencies, self._softmax_scale = frequencies, softmax_scale
        self._a = cast(Architecture, checkpoint.architecture)
        self._tables = StoredTables(stored, checkpoint)
        self._held: tuple[int, dict[str, Rounded]] = (-1, {})

    def tensor(self, name: str) -> torch.Tensor:
        """float32, as it is stored: factors between inputs and matrices are part of both."""
        import torch

        if name in (EMBEDDING, HEAD):
            return self.rows(name, 0, self._a.vocab_size)
        found = self._column(NORM) if name == NORM else self._of_layer(name)
        return torch.from_numpy(np.ascontiguousarray(found.values)).reshape(self._checkpoint.tensors[name].shape)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Of an embedding or a head; of other tensors all are made."""
        if name not in (EMBEDDING, HEAD):
            return self.tensor(name)[start:stop]
        return self._tables.rows(name, start, stop)

    def heads_alone(self) -> Weights | None:
        return None

    def comparisons(self) -> Iterator[Comparison]:
        yield from self._tables.positions(self._frequencies)
        yield from self._tables.embedding()
        for index in range(self._a.num_hidden_layers):
            yield from self._compared(f"model.layers.{index}.", self._layer(index))
        yield Comparison(NORM, self._column(NORM), self._wanted(NORM).reshape(-1, 1))
        yield from self._tables.head()

    def _compared(self, prefix: str, layer: Mapping[str, Rounded]) -> Iterator[Comparison]:
        if not self._rescaled:
            yield from (Comparison(name, one, self._wanted(name).reshape(one.values.shape)) for name, one in layer.items())
            return
        stored = {name.removeprefix(prefix): one for name, one in layer.items()}
        factors = LayerFactors(stored, lambda name: self._wanted(prefix + name))
        for name, found, wanted in factors.compared():
            yield Comparison(prefix + name, found, wanted)

    def _of_layer(self, name: str) -> Rounded:
        index = int(name.split(".")[2])
        if self._held[0] != index:
            self._held = (-1, {})  # dropped before the next is made
            self._held = (index, self._layer(index))
        return self._held[1][name]

    def _layer(self, index: int) -> dict[str, Rounded]:
        """A layer's tensors by the checkpoint's names."""
        a, prefix = self._a, f"model.layers.{index}."

        def matrix(name: str) -> Rounded:
            return self._stored.matrix(f"{prefix}{name}.weight").rows()

        qkv, both = matrix("self_attn.qkv_proj"), matrix("mlp.gate_up_proj")
        scale = np.full(a.head_dim, 1 / self._softmax_scale, np.float32)
        found = {"input_layernorm.weight": self._column(f"{prefix}input_layernorm.weight")}
        for place, name in enumerate(("q_proj", "k_proj", "v_proj")):
            found[f"self_attn.{name}.weight"] = qkv.rows(slice(place * a.inner_size, (place + 1) * a.inner_size))
        found["self_attn.q_norm.weight"] = self._column(f"{prefix}self_attn.q_norm.weight").times(scale)
        found["self_attn.k_norm.weight"] = self._column(f"{prefix}self_attn.k_norm.weight")
        if a.attention_routing:
            found["self_attn.gate_proj.weight"] = self._column(f"{prefix}self_attn.gate_proj.weight")
            threshold = self._column(f"{prefix}self_attn.gate_proj.threshold")
            found["self_attn.gate_proj.bias"] = threshold.times(np.full(1, -1, np.float32))
        found["self_attn.o_proj.weight"] = matrix("self_attn.o_proj")
        found["post_attention_layernorm.weight"] = self._column(f"{prefix}post_attention_layernorm.weight")
        found["mlp.gate_proj.weight"] = both.rows(slice(0, a.intermediate_size))
        found["mlp.up_proj.weight"] = both.rows(slice(a.intermediate_size, None))
        found["mlp.down_proj.weight"] = matrix("mlp.down_proj")
        return {prefix + name: one for name, one in found.items()}

    def _column(self, name: str) -> Rounded:
        """A vector as rows of one number."""
        return Rounded.floats(self._stored.array(name).reshape(-1))

    def _wanted(self, name: str) -> Floats:
        found: Floats = self._checkpoint.tensor(name).float().numpy()
        return found
