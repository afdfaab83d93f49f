"""A GGUF's weights under the checkpoint's names, dequantized by the gguf package that llama.cpp's source carries.

Names and shapes are those of llama.cpp's ``deepseek2``: ``kv_b_proj`` lies there in halves, that of the keys transposed.
"""

from __future__ import annotations

import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from youtu_onnx.families.youtu.architecture import Architecture

OF_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OF_MODEL = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
KV_B = re.compile(r"model\.layers\.(\d+)\.self_attn\.kv_b_proj\.weight")
LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")


class GgufWeights:
    """Implements :class:`youtu_onnx.families.reference.Weights`; one tensor in float32 at a time."""

    def __init__(self, path: Path, architecture: Architecture, package: Path) -> None:
        """``package``: folder that ``gguf`` is imported from, ``gguf-py`` in llama.cpp's source."""
        self._architecture, self._path, self._package = architecture, path, package

    @cached_property
    def _gguf(self) -> Any:
        sys.path.insert(0, str(self._package))
        try:
            import gguf  # type: ignore[import-not-found]
        finally:
            sys.path.remove(str(self._package))
        return gguf

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return {one.name: one for one in self._gguf.GGUFReader(str(self._path)).tensors}

    @property
    def nbytes(self) -> int:
        """Of all tensors, as they are stored."""
        return sum(int(one.n_bytes) for one in self._tensors.values())

    def tensor(self, name: str) -> Tensor:
        """
        Raises:
            KeyError: the file has no such tensor.
        """
        if found := KV_B.fullmatch(name):
            return self._kv_b(int(found[1]))
        return torch.from_numpy(self._numbers(theirs(name)))

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        if KV_B.fullmatch(name):
            return self.tensor(name)[start:stop]
        return torch.from_numpy(self._numbers(theirs(name), slice(start, stop)))

    def _numbers(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        found = self._tensors[name]
        made: np.ndarray = self._gguf.quants.dequantize(found.data[rows], found.tensor_type)
        return made.astype(np.float32, copy=False)

    def _kv_b(self, layer: int) -> Tensor:
        a, keys = self._architecture, f"blk.{layer}.attn_k_b.weight"
        k = self._numbers(keys).reshape(a.num_attention_heads, a.kv_lora_rank, a.qk_nope_head_dim).swapaxes(1, 2)
        v = self._numbers(f"blk.{layer}.attn_v_b.weight").reshape(a.num_attention_heads, a.v_head_dim, a.kv_lora_rank)
        return torch.from_numpy(np.concatenate([k, v], 1).reshape(-1, a.kv_lora_rank))


def theirs(name: str) -> str:
    """llama.cpp's name of a tensor."""
    if found := LAYER.fullmatch(name):
        return f"blk.{found[1]}.{OF_LAYER[found[2]]}.{found[3]}"
    stem, _, kind = name.rpartition(".")
    return f"{OF_MODEL[stem]}.{kind}"
