"""Files that a bundle has of its checkpoint, and what is written where the checkpoint has none."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from youtu_onnx.core.bundle import names
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.generation_config import GenerationConfig
from youtu_onnx.core.prequantized.config import KEYS
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.genai_config import genai_config, one_shape
from youtu_onnx.exporters.text.generation import generation_fields, read_generation_config
from youtu_onnx.exporters.text.text_files import TextFiles, text_files
from youtu_onnx.families.checkpoint import Checkpoint


@dataclass(frozen=True)
class Carried:
    """What a bundle takes over of its checkpoint's text, held against transformers."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    text: TextFiles = field(default_factory=TextFiles)

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Carried:
        """
        Raises:
            CheckpointError: a file that bundles couldn't use, or that means something else to transformers than to a bundle.
        """
        vocab_size = checkpoint.architecture.vocab_size
        return cls(read_generation_config(checkpoint.path, vocab_size), text_files(checkpoint.path, vocab_size))


def carry(carried: Carried, checkpoint: Checkpoint, cache: CacheLayout, target: Target, folder: Path) -> None:
    """Write what belongs to the model's text, and ``genai_config.json`` where onnxruntime-genai can hold the cache."""
    for name in (names.CONFIG, names.GENERATION_CONFIG):
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, folder / name)
    if checkpoint.change is not None or checkpoint.packed:
        # an adapter may have parted embedding and head; of a quantized form programs would look for its weights
        fields = {name: value for name, value in checkpoint.config.items() if not (checkpoint.packed and name in KEYS)}
        _write_json(folder / names.CONFIG, fields)
    for name, contents in carried.text.contents.items():
        (folder / name).write_bytes(contents)
    a = checkpoint.architecture
    if not (folder / names.GENERATION_CONFIG).is_file():
        _, fields = generation_fields(checkpoint.path)
        named = {"bos_token_id": a.bos_token_id, "eos_token_id": list(a.eos_token_ids) or None, "pad_token_id": a.pad_token_id}
        _write_json(folder / names.GENERATION_CONFIG, named | fields)
    if one_shape(cache):
        _write_json(folder / names.GENAI_CONFIG, genai_config(a, cache, target, carried.generation))


def _write_json(path: Path, fields: object) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
