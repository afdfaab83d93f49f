"""What calibration learns of the inputs of each matrix while those before it are rounded.

Two models read the same text a step at a time: the checkpoint's, and one whose matrices are replaced by what they were rounded
to, as soon as that is known. Within a layer there are several such steps, since matrices that read the same input are rounded
together: the projections before attention, as the family has them, then ``o_proj``, gate and up, ``down_proj``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.layerwise import LayerParts, embedded, layer_names, normed
from youtu_onnx.families.reference import Drifted, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Inputs = Callable[["Side", int], "Tensor"]
"""Of the sequence of this number, ``[1,S,K]``."""
Projections = Sequence[Mapping[str, Inputs]]
"""Step by step, the matrices before attention, those that a layer has of them, and what they read."""


def drifted_moments(
    checkpoint: Checkpoint,
    parts: LayerParts,
    sequences: Sequence[Sequence[int]],
    projections: Projections,
    rounded: MutableMapping[str, Tensor],
    weights: Weights,
    report: Callable[[int], None],
) -> Iterator[Mapping[str, Callable[[], Drifted]]]:
    """Implements :meth:`youtu_onnx.families.reference.Reference.drifted_moments`; ``report`` is its ``on_bytes``."""
    import torch

    count = len(sequences)
    with torch.inference_mode():  # and not while whoever asked has its turn, as below
        hidden = embedded(checkpoint, weights, sequences)
        turns = [parts.turns(states) for states in hidden]
        own = [states.clone() for states in hidden]  # each side adds to its states in place
        exact, drifted = (Side(parts, states, turns) for states in (hidden, own))
    report(checkpoint.tensors["model.embed_tokens.weight"].nbytes)

    def step(prefix: str, inputs: Mapping[str, Inputs]) -> Iterator[Mapping[str, Callable[[], Drifted]]]:
        now = True

        @cache
        def products(read: Inputs) -> Drifted:
            assert now, "asked for when its layer has gone on"
            with torch.inference_mode():
                return _products((read(exact, index), read(drifted, index)) for index in range(count))

        yield {f"{prefix}{name}.weight": partial(products, read) for name, read in inputs.items()}
        now = False
        drifted.replace({name: rounded.pop(full) for name in inputs if (full := f"{prefix}{name}.weight") in rounded})

    for index in range(checkpoint.architecture.num_hidden_layers):
        prefix = f"model.layers.{index}."
        tensors = {name.removeprefix(prefix): weights.tensor(name).float() for name in layer_names(checkpoint, prefix)}
        for side in (exact, drifted):
            side.layer.load_state_dict(tensors, assign=True)
        del tensors
        for inputs in projections:
            there = {name: read for name, read in inputs.items() if f"{prefix}{name}.weight" in checkpoint.tensors}
            yield from step(prefix, there)
        with torch.inference_mode():
            for side in (exact, drifted):
                side.attend()
        yield from step(prefix, {"self_attn.o_proj": _attended})
        with torch.inference_mode():
            for side in (exact, drifted):
                side.add_attention()
        yield from step(prefix, dict.fromkeys(("mlp.gate_proj", "mlp.up_proj"), _normed_again))
        yield from step(prefix, {"mlp.down_proj": _gated})
        with torch.inference_mode():
            for side in (exact, drifted):
                side.add_mlp()
        report(sum(checkpoint.tensors[name].nbytes for name in layer_names(checkpoint, prefix)))
    with torch.inference_mode():
        both = zip(exact.hidden, drifted.hidden, strict=True)
        found = _products((normed(parts, weights, one[0]), normed(parts, weights, other[0])) for one, other in both)
    for side in (exact, drifted):
        side.clear()  # the head is rounded next: the largest matrix, in the company of nothing
    tied = checkpoint.architecture.tie_word_embeddings
    yield dict.fromkeys(("lm_head.weight", *(("model.embed_tokens.weight",) if tied else ())), lambda: found)


class Side:
    """One of the two models: a layer, and the hidden states of all sequences before it, each ``[1,S,hidden_size]``."""

    def __init__(self, parts: LayerParts, hidden: list[Tensor], turns: Sequence[Any]) -> None:
        self.hidden, self.layer = hidden, cast(Any, parts.empty_layer())
        self.attended: list[Tensor] = []
        self._parts, self._turns = parts, turns

    def clear(self) -> None:
        """Nothing more is read."""
        self.hidden.clear()
        self.layer = None

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Weights of some of the layer's matrices, by their names in it."""
        import torch

        for name, weight in weights.items():
            part = self.layer.get_submodule(name)
            part.weight = torch.nn.Parameter(weight, requires_grad=False)

    def attend(self) -> None:
        """What ``o_proj`` is multiplied with."""
        seen: list[Tensor] = []

        def watch(part: torch.nn.Module, given: tuple[Tensor]) -> None:
            seen.append(given[0])

        handle = self.layer.self_attn.o_proj.register_forward_pre_hook(watch)
        for states, turns in zip(self.hidden, self._turns, strict=True):
            self._parts.attend(self.layer, states, turns)
        handle.remove()
        self.attended = seen

    def add_attention(self) -> None:
        attention = self.layer.self_attn
        for states, attended in zip(self.hidden, self.attended, strict=True):
            states.add_(attention.o_proj(attended))
        self.attended = []

    def add_mlp(self) -> None:
        for states in self.hidden:
            states.add_(self.layer.mlp(self.layer.post_attention_layernorm(states)))


def normed_hidden(side: Side, index: int) -> Tensor:
    """What the projections before attention read."""
    normed: Tensor = side.layer.input_layernorm(side.hidden[index])
    return normed


def _attended(side: Side, index: int) -> Tensor:
    return side.attended[index]


def _normed_again(side: Side, index: int) -> Tensor:
    normed: Tensor = side.layer.post_attention_layernorm(side.hidden[index])
    return normed


def _gated(side: Side, index: int) -> Tensor:
    mlp, states = side.layer.mlp, _normed_again(side, index)
    gated: Tensor = mlp.act_fn(mlp.gate_proj(states)) * mlp.up_proj(states)
    return gated


def _products(pairs: Iterable[tuple[Tensor, Tensor]]) -> Drifted:
    """Of inputs ``[…,K]``, exact and drifted."""
    import torch

    moments, drift, count = torch.zeros(0, 0), torch.zeros(0, 0), 0
    for exact, drifted in pairs:
        rows = drifted.flatten(0, -2)
        off = exact.flatten(0, -2) - rows
        if not count:
            moments, drift = (torch.zeros(rows.shape[1], rows.shape[1]) for _ in range(2))
        moments.addmm_(rows.T, rows)  # in place: two of these may have hundreds of megabytes
        drift.addmm_(off.T, rows)
        count += len(rows)
    return Drifted(moments.div_(count), drift.div_(count))
