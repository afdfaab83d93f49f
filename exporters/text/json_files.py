"""JSON of a checkpoint that other programs will read: valid for all of them, not for Python's lenient reader alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from youtu_onnx.core.bundle import names
from youtu_onnx.core.checkpoint_files import read_object
from youtu_onnx.core.errors import CheckpointError

FILES = (names.TOKENIZER, names.TOKENIZER_CONFIG, names.SPECIAL_TOKENS_MAP, "added_tokens.json")


def check_json(folder: Path, files: tuple[str, ...] = FILES) -> None:
    """
    Raises:
        CheckpointError: a file that is there holds no JSON object, or numbers that JSON doesn't have.
    """
    for path in (folder / name for name in files):
        if not path.is_file():
            continue
        read_object(path, "")

        def refuse(constant: str, path: Path = path) -> NoReturn:
            raise CheckpointError(
                f"{path} holds {constant}, which is no JSON: most programs can't read it", hint="write a number, or null"
            )

        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
