"""Factors between channels of an input and what is multiplied with them, so that either is rounded with less loss.

A product with integer weights rounds its inputs, too, a block of channels by one scale. Where one channel is ten times as large
as its neighbours, they have a tenth of the codes. Dividing each channel of the input by s and multiplying the matrix's column by
it changes nothing but that: with s the root of the input's size over the column's, both are rounded as well as each other (the
exponent of SmoothQuant, https://arxiv.org/abs/2211.10438). The division is in the weights before: the gain of a norm, or the
rows of ``up_proj``.

Sizes of inputs are those that the model itself makes of tokens drawn at random: which channels are large is a matter of the
weights, and tokens of a text tell no more of it (docs/notes.md has the measurement). So no text is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.second_moments import second_moments

if TYPE_CHECKING:
    from torch import Tensor

SEQUENCES, LENGTH, SEED = 2, 256, 0
"""Of random tokens."""
RANGE = 64.0
"""A factor is within this of their mean, either way."""
READERS = {
    "input_layernorm": ("self_attn.q_a_proj", "self_attn.q_proj", "self_attn.kv_a_proj_with_mqa"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.up_proj": ("mlp.down_proj",),
}
"""What makes an input, and what is multiplied with it."""


@dataclass(frozen=True)
class Balanced:
    """Implements :class:`youtu_onnx.families.reference.Weights`: the same function in other numbers.

    Attributes:
        divided: by name, what a tensor's rows are divided by.
        multiplied: by name, what a matrix's columns are multiplied by.
    """

    checkpoint: Checkpoint
    divided: Mapping[str, Tensor] = field(default_factory=dict)
    multiplied: Mapping[str, Tensor] = field(default_factory=dict)

    def tensor(self, name: str) -> Tensor:
        """float32 where it has a factor."""
        found = self.checkpoint.tensor(name)
        if name in self.multiplied:
            found = found.float() * self.multiplied[name]
        if name in self.divided:
            factors = self.divided[name]
            found = found.float() / (factors if found.ndim == 1 else factors[:, None])
        return found

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        return self.tensor(name)[start:stop]


def balanced(checkpoint: Checkpoint, report: Callable[[int], None]) -> Balanced:
    """Implements :meth:`youtu_onnx.families.reference.Reference.balanced`; ``report`` is its ``on_bytes``."""
    import torch

    chance = torch.Generator().manual_seed(SEED)
    length = min(LENGTH, checkpoint.architecture.max_position_embeddings)
    tokens = torch.randint(checkpoint.architecture.vocab_size, (SEQUENCES, length), generator=chance).tolist()
    divided: dict[str, Tensor] = {}
    multiplied: dict[str, Tensor] = {}
    for index, moments in enumerate(second_moments(checkpoint, tokens, report, diagonal=True)):
        for source, names in READERS.items():
            prefix = f"model.layers.{index}."
            readers = [name for one in names if (name := f"{prefix}{one}.weight") in moments]
            if not readers:  # behind the last layer
                continue
            columns = torch.cat([checkpoint.tensor(name).float() for name in readers]).square().mean(0).sqrt()
            factors = _factors(moments[readers[0]].sqrt(), columns)
            divided[f"{prefix}{source}.weight"] = factors
            multiplied |= dict.fromkeys(readers, factors)
    return Balanced(checkpoint, divided, multiplied)


def _factors(inputs: Tensor, columns: Tensor) -> Tensor:
    """Root mean squares of channels and of columns → what to divide the former by; around 1, and 1 where either is zero."""
    import torch

    known = (inputs > 0) & (columns > 0)
    if not known.any():
        return torch.ones_like(inputs)
    logarithms = torch.where(known, (inputs.log() - columns.log()) / 2, torch.nan)
    logarithms = torch.nan_to_num(logarithms - logarithms[known].mean(), nan=0.0)
    return logarithms.exp().clamp(1 / RANGE, RANGE)
