"""Factors that an exporter may have put between inputs and matrices of a layer, found by holding what is stored against the
checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from youtu_onnx.families.microreason.inputs import GATE, GATE_UP, QKV
from youtu_onnx.families.moved_factors import beside_columns, between, given_away
from youtu_onnx.graphs.rounded import Floats, Rounded

BEHIND = {"input_layernorm.weight": (*QKV, GATE), "post_attention_layernorm.weight": GATE_UP}
BETWEEN = {"self_attn.v_proj.weight": "self_attn.o_proj.weight", "mlp.up_proj.weight": "mlp.down_proj.weight"}
"""Whose rows may be divided, and whose columns multiplied."""


class LayerFactors:
    def __init__(self, found: Mapping[str, Rounded], read: Callable[[str], Floats]) -> None:
        """``found``: a layer's tensors as they are stored, by names in it; ``read`` gives the checkpoint's by these names."""
        self._found, self._read = found, read
        self._columns: dict[str, Floats] = {}
        for norm, names in BEHIND.items():
            self._columns |= dict.fromkeys((f"{name}.weight" for name in names), given_away(found[norm], read(norm)))
        self._rows: dict[str, Floats] = {}
        for first, second in BETWEEN.items():
            factors = between(read(first) * self._columns[first], found[first], read(second), found[second])
            self._rows[first] = self._columns[second] = factors

    def compared(self) -> Iterator[tuple[str, Rounded, Floats]]:
        """Each tensor, what is stored and what should be, with the factors on one side."""
        for name, found in self._found.items():
            wanted = self._read(name)
            if name in BEHIND:
                yield name, *self._norm(name, found, wanted)
                continue
            if name in self._columns:
                wanted = wanted * self._columns[name]
            yield name, found.times(self._rows[name]) if name in self._rows else found, wanted.reshape(found.values.shape)

    def _norm(self, name: str, found: Rounded, gain: Floats) -> tuple[Rounded, Floats]:
        """By the matrices that read what it makes; as it is where they say that nothing was moved."""
        readers = [f"{reader}.weight" for reader in BEHIND[name] if reader != GATE]
        if (self._columns[readers[0]] == 1).all():
            return found, gain.reshape(-1, 1)
        stored = [self._found[reader] for reader in readers]
        return beside_columns(found, gain, stored, np.concatenate([self._read(reader) for reader in readers]))
