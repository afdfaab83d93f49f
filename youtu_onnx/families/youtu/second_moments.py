"""What calibration learns of the inputs of each matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Weights
from youtu_onnx.families.youtu.layerwise import layers, normed
from youtu_onnx.families.youtu.own_config import own_config

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer

SAME_INPUT = {"self_attn.kv_a_proj_with_mqa": ("self_attn.q_a_proj", "self_attn.q_proj"), "mlp.up_proj": ("mlp.gate_proj",)}
"""Matrices that are multiplied with what another one is."""


def second_moments(
    checkpoint: Checkpoint,
    sequences: Sequence[Sequence[int]],
    report: Callable[[int], None],
    diagonal: bool = False,
    weights: Weights | None = None,
) -> Iterator[Mapping[str, Tensor]]:
    """Implements :meth:`youtu_onnx.families.reference.Reference.second_moments`; ``report`` is its ``on_bytes``."""
    import torch

    config, positions, used = own_config(checkpoint), sum(map(len, sequences)), weights or checkpoint
    sums: dict[str, Tensor] = {}

    def products(rows: Tensor) -> Tensor:
        return rows.square().sum(0) if diagonal else rows.T @ rows

    def watch(layer: YoutuDecoderLayer) -> None:
        linear = {name: part for name, part in layer.named_modules() if isinstance(part, torch.nn.Linear)}
        for name, part in linear.items():
            if not any(other in linear for other in SAME_INPUT.get(name, ())):
                part.register_forward_pre_hook(partial(seen, name))

    def seen(name: str, part: torch.nn.Module, given: tuple[Tensor]) -> None:
        total = products(given[0].flatten(0, -2))
        sums[name] = sums[name].add_(total) if name in sums else total

    each = layers(checkpoint, config, used, sequences, report, watch)
    hidden: list[Tensor] = []
    while True:
        with torch.inference_mode():  # not while whoever asked has its turn
            found = next(each, None)
        if found is None:
            break
        prefix, hidden = found
        made = {name: total / positions for name, total in sums.items()}
        for name, others in SAME_INPUT.items():
            for other in others:
                if other in made:
                    made[name] = made[other]
        sums.clear()
        yield {f"{prefix}{name}.weight": moments for name, moments in made.items()}
    with torch.inference_mode():
        rows = normed(checkpoint, config, used, torch.cat([states[0] for states in hidden]))
        last = products(rows) / positions
    tied = checkpoint.architecture.tie_word_embeddings
    yield {"lm_head.weight": last} | ({"model.embed_tokens.weight": last} if tied else {})
