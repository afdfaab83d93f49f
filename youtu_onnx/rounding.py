"""A checkpoint's weights as a bundle stores them: rounded to int4 or int8 and back to float32.

PyTorch with these weights is what an integer bundle must equal; PyTorch with the checkpoint's own is what it should
come near. Rows of a matrix are rounded one by one, in blocks along the row. So it changes nothing that the graph fuses
matrices, reorders rows or scales them, and the checkpoint's tensors can be rounded where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from youtu_onnx.bundle import Manifest
from youtu_onnx.recipe import Blockwise
from youtu_onnx.target import target as target_called

if TYPE_CHECKING:
    import torch

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
Rounding = Callable[[str, "torch.Tensor"], "torch.Tensor"]
"""From a tensor's name (``lm_head.weight`` for the head, tied or not) and rows of it to the same rows, float32."""


def rounding(manifest: Manifest) -> Rounding | None:
    """How the bundle rounds; None where its weights are float."""
    if not manifest.recipe.quantized:
        return None
    import torch

    from exporters.quantize.round_to_nearest import round_to_nearest

    target, a = target_called(manifest.target), manifest.architecture
    storages = _storages(manifest)
    scale_dtype = getattr(torch, target.float_dtype)
    absorbed = manifest.cache.form == "latent"

    def apply(name: str, tensor: torch.Tensor) -> torch.Tensor:
        storage = storages.get(name)
        if storage is not None:
            return round_to_nearest(tensor, storage, scale_dtype).dequantize()[:, :tensor.shape[1]]
        if absorbed and target.absorbed_int8 and name.endswith("kv_b_proj.weight"):
            heads = tensor.float().view(a.num_attention_heads, a.qk_nope_head_dim + a.v_head_dim, a.kv_lora_rank)
            w_uk, w_uv = heads.split([a.qk_nope_head_dim, a.v_head_dim], 1)
            # MatMulInteger reads W_UK as [H,N,L] and W_UV as [H,L,V]: a scale for each column of the right operand
            return torch.cat([_int8(w_uk, 1), _int8(w_uv, 2)], 1).view(tensor.shape)
        return tensor.float()

    return apply


def _storages(manifest: Manifest) -> dict[str, Blockwise]:
    """Checkpoint tensor → how the matrix that it goes into is stored, for those stored in blocks."""
    from exporters.passes.linear import quantized_names
    from exporters.youtu.parameters import parameters

    found: dict[str, Blockwise] = {}
    tied = manifest.architecture.tie_word_embeddings
    for name, parameter in parameters(manifest.architecture, manifest.cache.form).items():
        storage = manifest.recipe.storage(quantized_names(name, parameter.tensors)) if parameter.kind == "matrix" else None
        if storage is not None:
            found |= dict.fromkeys((HEAD,) if name == HEAD else parameter.tensors, storage)
    if not target_called(manifest.target).gather_quantized:
        del found[EMBEDDING]
    elif tied:
        found[EMBEDDING] = found[HEAD]  # one copy serves both
    return found


def _int8(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """Symmetric int8 with one scale over ``axis``."""
    scales = weight.abs().amax(axis, keepdim=True).clamp(min=1e-30) / 127
    return (weight / scales).round() * scales
