"""What an export measures the inputs of matrices on: the user's text, ours, or ids drawn at random."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.core.version import __version__
from youtu_onnx.exporters.calibration import FLOOR, Calibration, drawn
from youtu_onnx.exporters.carried import Carried
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.passages import passages

WINDOW = 512
"""Tokens of a passage of the calibration text."""
SAMPLE = 256
"""Tokens on which the sensitivity of matrices is measured, once for each kind of them."""
BUILT_IN = Path(__file__).parent.parent / "models" / "calibration.txt"
"""What algorithms that need a text go by unless the user has one: prose, chats, mathematics and code, in English and Chinese,
some 5,000 tokens; written for this project and under its licence."""


def calibration_of(checkpoint: Checkpoint, carried: Carried, recipe: Recipe, options: ExportOptions) -> Calibration:
    """
    Raises:
        UsageError: a file that is no text, or too little of it.
    """
    architecture = checkpoint.architecture
    files = options.calibration or ((BUILT_IN,) if recipe.calibrated else ())
    if not files:
        ids = drawn(architecture.vocab_size, architecture.max_position_embeddings)
        return Calibration(checkpoint, ids, "sizes", floor=FLOOR)
    read = _passages(checkpoint, carried, files, options.calibration_tokens)
    return Calibration(checkpoint, read, "drift" if recipe.compensates else "sizes")


def codes_key(checkpoint: Checkpoint, recipe: Recipe, target: Target, form: str, calibration: Calibration) -> dict[str, Any]:
    """Everything that calibrated codes depend on, JSON-ready: see :class:`youtu_onnx.exporters.unfinished.Unfinished`."""
    import torch

    stats = {str(file.resolve()): file.stat() for file in checkpoint.weight_files}
    return {
        "youtu-onnx": __version__,
        "torch": torch.__version__,
        "merged": checkpoint.change.sha256 if checkpoint.change else None,
        "weights": {name: [one.st_size, one.st_mtime_ns] for name, one in stats.items()},
        "recipe": recipe.to_dict(),
        "target": target.name,
        "cache": form,
        "text": calibration.digest,
    }


def sample(checkpoint: Checkpoint, carried: Carried, options: ExportOptions) -> list[int]:
    """The beginning of the user's text or of ours, on which the sensitivity of matrices is measured. Raises as above."""
    return _passages(checkpoint, carried, options.calibration or (BUILT_IN,), SAMPLE)[0]


def _passages(checkpoint: Checkpoint, carried: Carried, files: Sequence[Path], tokens: int) -> list[list[int]]:
    with tempfile.TemporaryDirectory() as folder:
        for name, contents in carried.text.contents.items():
            (Path(folder) / name).write_bytes(contents)
        tokenizer = Tokenizer.open(folder)
        template = ChatTemplate.open(folder, tokenizer)
    window = min(WINDOW, checkpoint.architecture.max_position_embeddings)
    return passages(files, tokenizer, template, window=window, tokens=tokens)
