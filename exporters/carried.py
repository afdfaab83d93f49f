"""Files that a bundle has of its checkpoint, and what is written where the checkpoint has none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.genai_config import genai_config, one_shape
from youtu_onnx.families.checkpoint import Checkpoint


def carry(checkpoint: Checkpoint, cache: CacheLayout, target: Target, folder: Path) -> None:
    """Copy what belongs to the model's text, and write ``genai_config.json`` where onnxruntime-genai can hold the cache."""
    for name in names.CARRIED:
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, folder / name)
    generation = folder / names.GENERATION_CONFIG
    if not generation.is_file():
        a = checkpoint.architecture
        _write_json(
            generation, {"bos_token_id": a.bos_token_id, "eos_token_id": list(a.eos_token_ids), "pad_token_id": a.pad_token_id}
        )
    if one_shape(cache):
        found: dict[str, Any] = json.loads(generation.read_text(encoding="utf-8"))
        _write_json(folder / names.GENAI_CONFIG, genai_config(checkpoint.architecture, cache, target, found))


def _write_json(path: Path, fields: object) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
