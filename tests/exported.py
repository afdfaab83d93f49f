"""Exports of tiny checkpoints, run by ONNX Runtime directly: no adapter of ours between the graph and the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from transformers import YoutuConfig, YoutuForCausalLM

from exporters.bundle_writer import assemble, write_bundle
from youtu_onnx.architecture import Architecture
from youtu_onnx.bundle import Manifest
from youtu_onnx.cache import CacheForm
from youtu_onnx.checkpoint import Checkpoint
from youtu_onnx.progress import Silent
from youtu_onnx.recipe import Recipe
from youtu_onnx.target import target as target_called

Past = list[np.ndarray]


def export_tiny(checkpoint: Path, folder: Path, recipe: Recipe, *, target: str = "cpu", form: CacheForm = "latent") -> Manifest:
    """Everything of a bundle but manifest and model card."""
    folder.mkdir(parents=True, exist_ok=True)
    opened, row = Checkpoint.open(str(checkpoint)), target_called(target)
    assembly, cache = assemble(opened, recipe, row, form, Silent())
    return write_bundle(assembly, cache, opened, recipe, row, folder, Silent())


class Graph:
    """model.onnx in a session, fed with plain arrays."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.cache = manifest.cache
        self.dtype = np.dtype(manifest.cache.dtype)

    def empty(self, batch: int) -> Past:
        return [np.zeros((batch, t.heads, 0, t.width), self.dtype) for t in self.cache.tensors()]

    def step(self, ids: np.ndarray, past: Past, mask: np.ndarray | None = None) -> tuple[np.ndarray, Past]:
        """Logits ``[B,S,V]`` float32 and presents; positions count the mask's ones."""
        before = past[0].shape[2]
        mask = np.ones((len(ids), before + ids.shape[1]), np.int64) if mask is None else mask
        positions = np.maximum(mask.cumsum(1) - 1, 0)[:, before:]
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        feeds |= {t.past: array for t, array in zip(self.cache.tensors(), past, strict=True)}
        logits, *present = self.session.run(["logits", *(t.present for t in self.cache.tensors())], feeds)
        return logits.astype(np.float32), present

    def chunks(self, ids: np.ndarray, size: int) -> np.ndarray:
        past, made = self.empty(len(ids)), []
        for start in range(0, ids.shape[1], size):
            logits, past = self.step(ids[:, start : start + size], past)
            made.append(logits)
        return np.concatenate(made, 1)


def reference(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> YoutuForCausalLM:
    """transformers' own model with these weights, in float32."""
    fields = Architecture.from_config(config).to_hf_config()
    model = YoutuForCausalLM(YoutuConfig(**fields, attn_implementation="eager")).eval()
    missing, unexpected = model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    model.tie_weights()
    return model


def reference_logits(model: YoutuForCausalLM, ids: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    with torch.no_grad():
        if mask is None:
            return model(torch.from_numpy(ids)).logits.numpy()
        positions = torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0))
        return model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), position_ids=positions).logits.numpy()
