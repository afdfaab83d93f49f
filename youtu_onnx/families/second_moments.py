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

SameInput = Mapping[str, tuple[str, ...]]
"""Matrices of a layer that are multiplied with what another one is: the first of these that the layer has."""


def second_moments(
    checkpoint: Checkpoint,
    parts: LayerParts,
    sequences: Sequence[Sequence[int]],
    same_input: SameInput,
    report: Callable[[int], None],
    *,
    passed_over: tuple[str, ...] = (),
    diagonal: bool = False,
    weights: Weights | None = None,
) -> Iterator[Mapping[str, Tensor]]:
    """Implements :meth:`youtu_onnx.families.reference.Reference.second_moments`; ``report`` is its ``on_bytes``; ``passed_over``:
    linear layers whose weights nobody rounds."""
    import torch

    positions, used = sum(map(len, sequences)), weights or checkpoint
    sums: dict[str, Tensor] = {}

    def products(rows: Tensor) -> Tensor:
        return rows.square().sum(0) if diagonal else rows.T @ rows

    def watch(layer: Any) -> None:
        linear = {name: part for name, part in layer.named_modules() if isinstance(part, torch.nn.Linear)}
        for name, part in linear.items():
            if name not in passed_over and not any(other in linear for other in same_input.get(name, ())):
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
        for name, others in same_input.items():
            for other in others:
                if other in made:
                    made[name] = made[other]
        sums.clear()
        yield {f"{prefix}{name}.weight": moments for name, moments in made.items()}
        del made, found  # while the next layer is read
    with torch.inference_mode():
        every = (products(normed(parts, used, states[0])) for states in hidden)
        last = sum(every, start=torch.zeros(())) / positions
    hidden.clear()  # the head is rounded next: the largest matrix, in the company of nothing
    tied = checkpoint.architecture.tie_word_embeddings
    yield {"lm_head.weight": last} | ({"model.embed_tokens.weight": last} if tied else {})
