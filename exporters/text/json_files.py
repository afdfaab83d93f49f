"""JSON of a checkpoint that other programs will read: valid for all of them, not for Python's lenient reader alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.checkpoint_files import read_object
from youtu_onnx.core.errors import CheckpointError

FILES = (names.TOKENIZER, names.TOKENIZER_CONFIG, names.SPECIAL_TOKENS_MAP, "added_tokens.json")


def check_json(path: Path) -> None:
    """
    Raises:
        CheckpointError: the file is there, and holds no JSON object, or numbers that JSON doesn't have.
    """
    if not path.is_file():
        return
    for key, value in read_object(path, "").items():
        strange = next((one for one in _floats(value) if not math.isfinite(one)), None)
        if strange is not None:
            raise CheckpointError(
                f"{path}: {key} is or holds {strange}, which JSON has no number for, so most programs can't read it",
                hint="write a number, or null",
            )


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _floats(one)
