"""The same model in other numbers: factors between what makes an input and what is multiplied with it.

Dividing each channel of an input by a factor and multiplying the columns behind it by the same changes nothing that the model
computes, but everything about what is lost when either is rounded. The division is in the weights before: the gain of a norm, the
rows of ``up_proj``, or the value rows of ``kv_b_proj``. Which factors are good is for others to say: they depend on how matrices
and inputs are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import ChooseFactors
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.second_moments import second_moments

if TYPE_CHECKING:
    from torch import Tensor

RANGE = 64.0
"""A factor is within this of 1, either way."""
READERS = {
    "input_layernorm": ("self_attn.q_a_proj", "self_attn.q_proj", "self_attn.kv_a_proj_with_mqa"),
    "self_attn.q_a_layernorm": ("self_attn.q_b_proj",),
    "self_attn.kv_b_proj": ("self_attn.o_proj",),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.up_proj": ("mlp.down_proj",),
}
"""What makes an input, and what is multiplied with it."""


@dataclass(frozen=True)
class Rescaled:
    """Implements :class:`youtu_onnx.families.reference.Weights`.

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
        touched = name in self.multiplied or name in self.divided
        return self.tensor(name)[start:stop] if touched else self.checkpoint.rows(name, start, stop)


def rescaled(
    checkpoint: Checkpoint,
    sequences: Sequence[Sequence[int]],
    choose: ChooseFactors,
    report: Callable[[int], None],
    diagonal: bool,
) -> Rescaled:
    """Implements :meth:`youtu_onnx.families.reference.Reference.rescaled`; ``report`` is its ``on_bytes``."""
    divided: dict[str, Tensor] = {}
    multiplied: dict[str, Tensor] = {}
    for index, moments in enumerate(second_moments(checkpoint, sequences, report, diagonal)):
        prefix = f"model.layers.{index}."
        for source, names in _sources(moments, prefix):
            factors = choose({name: checkpoint.tensor(name).float() for name in names}, moments[names[0]])
            factors = factors.clamp(1 / RANGE, RANGE)
            divided[source] = _of_rows(checkpoint, factors) if source.endswith("kv_b_proj.weight") else factors
            multiplied |= dict.fromkeys(names, factors)
    return Rescaled(checkpoint, divided, multiplied)


def _sources(moments: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, list[str]]]:
    """In a layer, what makes an input, and which matrices read it. None behind the last layer."""
    for source, names in READERS.items():
        readers = [name for one in names if (name := f"{prefix}{one}.weight") in moments]
        if readers:
            yield f"{prefix}{source}.weight", readers


def _of_rows(checkpoint: Checkpoint, factors: Tensor) -> Tensor:
    """``[H·V]`` → of the rows of kv_b_proj, ``[H·(N+V)]``, whose keys have none."""
    import torch

    a = cast(Architecture, checkpoint.architecture)
    by_head = torch.ones(a.num_attention_heads, a.qk_nope_head_dim + a.v_head_dim)
    by_head[:, a.qk_nope_head_dim :] = factors.view(a.num_attention_heads, a.v_head_dim)
    return by_head.flatten()
