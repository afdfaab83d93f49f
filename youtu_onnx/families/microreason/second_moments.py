"""What calibration learns of the inputs of each matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.layerwise import LayerParts, layers, normed
from youtu_onnx.families.reference import Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

SAME_INPUT = {
    "self_attn.k_proj": "self_attn.q_proj",
    "self_attn.v_proj": "self_attn.q_proj",
    "mlp.up_proj": "mlp.gate_proj",
}
"""Matrices that are multiplied with what another one is."""
GATE = "self_attn.gate_proj"
"""Is no matrix that anybody rounds."""


def second_moments(
    checkpoint: Checkpoint,
    parts: LayerParts,
    sequences: Sequence[Sequence[int]],
    report: Callable[[int], None],
    *,
    diagonal: bool,
    weights: Weights | None = None,
) -> Iterator[Mapping[str, Tensor]]:
    """Implements :meth:`youtu_onnx.families.reference.Reference.second_moments`; ``report`` is its ``on_bytes``."""
    import torch

    positions, used = sum(map(len, sequences)), weights or checkpoint
    sums: dict[str, Tensor] = {}

    def products(rows: Tensor) -> Tensor:
        return rows.square().sum(0) if diagonal else rows.T @ rows

    def watch(layer: Any) -> None:
        for name, part in layer.named_modules():
            if isinstance(part, torch.nn.Linear) and name not in (*SAME_INPUT, GATE):
                part.register_forward_pre_hook(partial(seen, name))

    def seen(name: str, part: nn.Module, given: tuple[Tensor]) -> None:
        total = products(given[0].flatten(0, -2))
        sums[name] = sums[name].add_(total) if name in sums else total

    each = layers(checkpoint, parts, used, sequences, report, watch)
    hidden: list[Tensor] = []
    while True:
        with torch.inference_mode():  # not while whoever asked has its turn
            found = next(each, None)
        if found is None:
            break
        prefix, hidden = found
        made = {name: total / positions for name, total in sums.items()}
        made |= {name: made[other] for name, other in SAME_INPUT.items()}
        sums.clear()
        yield {f"{prefix}{name}.weight": moments for name, moments in made.items()}
    with torch.inference_mode():
        rows = normed(parts, used, torch.cat([states[0] for states in hidden]))
        last = products(rows) / positions
    tied = checkpoint.architecture.tie_word_embeddings
    yield {"lm_head.weight": last} | ({"model.embed_tokens.weight": last} if tied else {})
