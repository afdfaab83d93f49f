"""What calibration learns of the inputs of each matrix while those before it are rounded.

Two models read the same text a step at a time: the checkpoint's, and one whose matrices are replaced by what they were rounded
to, as soon as that is known. Within a layer there are four such steps, since matrices that read the same input are rounded
together: query, key and value, ``o_proj``, gate and up, ``down_proj``. Which tokens are shut is each model's own matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.layerwise import drifted_products, embedded, layer_names, normed
from youtu_onnx.families.microreason.inputs import GATE_UP, QKV
from youtu_onnx.families.reference import Drifted, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from youtu_onnx.families.microreason.modeling import MicroReasonDecoderLayer, MicroReasonParts


def drifted_moments(
    checkpoint: Checkpoint,
    parts: MicroReasonParts,
    sequences: Sequence[Sequence[int]],
    rounded: MutableMapping[str, Tensor],
    weights: Weights,
    report: Callable[[int], None],
) -> Iterator[Mapping[str, Drifted]]:
    """Implements :meth:`youtu_onnx.families.reference.Reference.drifted_moments`; ``report`` is its ``on_bytes``."""
    import torch

    with torch.inference_mode():  # and not while whoever asked has its turn, as below
        hidden = embedded(checkpoint, weights, sequences)
        turns = [parts.turns(states) for states in hidden]
        exact, drifted = sides = [Side(parts.empty_layer(), list(hidden), turns) for _ in range(2)]
    report(checkpoint.tensors["model.embed_tokens.weight"].nbytes)

    def step(prefix: str, names: Sequence[str], read: Callable[[Side], list[Tensor]]) -> Iterator[Mapping[str, Drifted]]:
        with torch.inference_mode():
            found = drifted_products(zip(read(exact), read(drifted), strict=True))
        yield {f"{prefix}{name}.weight": found for name in names}
        drifted.replace({name: rounded.pop(full) for name in names if (full := f"{prefix}{name}.weight") in rounded})

    for index in range(checkpoint.architecture.num_hidden_layers):
        prefix = f"model.layers.{index}."
        names = layer_names(checkpoint, prefix)
        tensors = {name.removeprefix(prefix): weights.tensor(name).float() for name in names}
        for side in sides:
            side.layer.load_state_dict(tensors, assign=True)
        yield from step(prefix, QKV, Side.normed)
        with torch.inference_mode():
            for side in sides:
                side.attend()
        yield from step(prefix, ("self_attn.o_proj",), lambda side: side.attended)
        with torch.inference_mode():
            for side in sides:
                side.add(side.layer.self_attn.o_proj, side.attended)
        yield from step(prefix, GATE_UP, Side.normed_again)
        yield from step(prefix, ("mlp.down_proj",), Side.gated)
        with torch.inference_mode():
            for side in sides:
                side.add(side.layer.mlp.down_proj, side.gated())
        report(sum(checkpoint.tensors[name].nbytes for name in names))
    with torch.inference_mode():
        last = [[normed(parts, weights, states[0]) for states in side.hidden] for side in sides]
        found = drifted_products(zip(*last, strict=True))
    tied = checkpoint.architecture.tie_word_embeddings
    yield {"lm_head.weight": found} | ({"model.embed_tokens.weight": found} if tied else {})


class Side:
    """One of the two models: a layer, and the hidden states of all sequences before it, each ``[1,S,hidden_size]``.

    Attributes:
        attended: what ``o_proj`` is multiplied with, ``[1,S,H·D]`` each.
    """

    def __init__(self, layer: MicroReasonDecoderLayer, hidden: list[Tensor], turns: Sequence[Any]) -> None:
        self.layer, self.hidden, self._turns = layer, hidden, turns
        self.attended: list[Tensor] = []

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Weights of some of the layer's matrices, by their names in it."""
        import torch

        for name, weight in weights.items():
            self.layer.get_submodule(name).weight = torch.nn.Parameter(weight, requires_grad=False)

    def normed(self) -> list[Tensor]:
        return [self.layer.input_layernorm(states) for states in self.hidden]

    def attend(self) -> None:
        seen: list[Tensor] = []

        def watch(part: torch.nn.Module, given: tuple[Tensor]) -> None:
            seen.append(given[0])

        handle = self.layer.self_attn.o_proj.register_forward_pre_hook(watch)
        for states, turns in zip(self.hidden, self._turns, strict=True):
            normed, visible = self.layer.input_layernorm(states), self.layer.visible(states)
            self.layer.self_attn(hidden_states=normed, attention_mask=visible, position_embeddings=turns)
        handle.remove()
        self.attended = seen

    def normed_again(self) -> list[Tensor]:
        return [self.layer.post_attention_layernorm(states) for states in self.hidden]

    def gated(self) -> list[Tensor]:
        mlp = self.layer.mlp
        return [mlp.act_fn(mlp.gate_proj(states)) * mlp.up_proj(states) for states in self.normed_again()]

    def add(self, matrix: torch.nn.Module, inputs: Sequence[Tensor]) -> None:
        """A product to the hidden states."""
        self.hidden = [states + matrix(one) for states, one in zip(self.hidden, inputs, strict=True)]
