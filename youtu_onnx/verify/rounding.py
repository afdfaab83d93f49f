"""A checkpoint's weights as a bundle stores them: rounded to int4 or int8 and back to float32.

PyTorch with these weights is what an integer bundle must equal; PyTorch with the checkpoint's own is what it should
come near. Rows of a matrix are rounded one by one, in blocks along the row. So it changes nothing that the graph fuses
matrices, reorders rows or scales them, and the checkpoint's tensors can be rounded where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.core.target import target as target_called
from youtu_onnx.families.known import architecture_of

if TYPE_CHECKING:
    import torch

    from youtu_onnx.families.youtu.graph.form import GraphForm

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
Rounding = Callable[[str, "torch.Tensor"], "torch.Tensor"]
"""From a tensor's name (``lm_head.weight`` for the head, tied or not) and rows of it to the same rows, float32."""


def rounding(manifest: Manifest, read: Callable[[str], torch.Tensor]) -> Rounding | None:
    """How the bundle rounds; None where its weights are float.

    Args:
        read: the checkpoint's tensor of a name, for what is rounded together with another.
    """
    if not manifest.recipe.quantized:
        return None
    import torch

    from youtu_onnx.exporters.quantize.quantizer import quantize
    from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest
    from youtu_onnx.families.youtu.graph.form import GraphForm

    target = target_called(manifest.target)
    form = GraphForm.of(manifest.cache, manifest.recipe, target)
    storages = _storages(manifest, form)
    scale_dtype = getattr(torch, target.float_dtype)

    def apply(name: str, tensor: torch.Tensor) -> torch.Tensor:
        storage = storages.get(name)
        if storage is not None:
            return quantize(RoundToNearest(), tensor, storage, scale_dtype).dequantize()[:, : tensor.shape[1]]
        if form.integer_heads and name.endswith("kv_b_proj.weight"):
            if not form.byte_cache:
                return _int8(tensor.float())
            gain = read(name.replace("kv_b_proj", "kv_a_layernorm")).float()  # rounded with the weights that it was moved into
            return _int8(tensor.float() * gain) / torch.where(gain == 0, 1.0, gain)
        return tensor.float()

    return apply


def _storages(manifest: Manifest, form: GraphForm) -> dict[str, Blockwise]:
    """Checkpoint tensor → how the matrix that it goes into is stored, for those stored in blocks."""
    from youtu_onnx.exporters.passes.linear import quantized_names
    from youtu_onnx.families.youtu.graph.parameters import parameters

    found: dict[str, Blockwise] = {}
    tied = architecture_of(manifest.model).tie_word_embeddings
    for name, parameter in parameters(architecture_of(manifest.model), form).items():
        if parameter.kind != "matrix":
            continue
        storage = manifest.recipe.storage(quantized_names(name, parameter.tensors), parameter.shape[1])
        if storage is not None:
            found |= dict.fromkeys((HEAD,) if name == HEAD else parameter.tensors, storage)
    if tied:
        found[EMBEDDING] = found[HEAD]  # one copy serves both
    return found


def _int8(weight: torch.Tensor) -> torch.Tensor:
    """Symmetric int8 with one scale for each row."""
    from youtu_onnx.families.youtu.graph.parameters import row_codes, row_scales

    return row_codes(weight) * row_scales(weight).unsqueeze(-1)
