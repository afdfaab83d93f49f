"""Which entry of a checkpoint's text files something is due to: the one without which it works."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.generation_config import shown

TEXT_FILES = (".json", ".jinja", ".txt", ".model")
"""Endings of what transformers makes a tokenizer of."""
NEUTRAL: Mapping[str, Any] = {
    "added_tokens": [],
    "truncation": None,
    "padding": None,
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
}
"""Entries of a ``tokenizer.json``, none of which can be left out."""


@dataclass(frozen=True)
class Entry:
    """``value`` is what stands there; ``file`` has a name only."""

    file: str
    key: str
    value: Any

    def __str__(self) -> str:
        return f"{self.key} is {shown(self.value)}"


def culprit(folder: Path, message: str, files: Sequence[str], attempt: Callable[[Path], object]) -> Entry | None:
    """The entry of the files without which the attempt succeeds; None where there is none, or more than one is needed.

    Args:
        message: of the error; what it mentions is suspected first.
        files: names, in the order in which they are suspected.
        attempt: takes a folder, and raises a CheckpointError as it does for this one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / folder.name
        copy.mkdir()
        for path in folder.iterdir():
            if path.suffix in TEXT_FILES and path.is_file():
                shutil.copyfile(path, copy / path.name)
        if (folder / names.ADDITIONAL_CHAT_TEMPLATES).is_dir():
            shutil.copytree(folder / names.ADDITIONAL_CHAT_TEMPLATES, copy / names.ADDITIONAL_CHAT_TEMPLATES)
        found = (_culprit_in(copy / name, message, lambda: attempt(copy)) for name in files if (copy / name).is_file())
        return next(filter(None, found), None)


def _culprit_in(path: Path, message: str, attempt: Callable[[], object]) -> Entry | None:
    original = path.read_bytes()
    fields: dict[str, Any] = json.loads(original)
    neutral = NEUTRAL if path.name == names.TOKENIZER else {}

    def works_without(keys: Sequence[str]) -> bool:
        kept = {key: value for key, value in fields.items() if key not in keys}
        changed = kept | {key: neutral[key] for key in keys if key in neutral}
        path.write_text(json.dumps(changed), encoding="utf-8")
        try:
            attempt()
        except CheckpointError:
            return False
        finally:
            path.write_bytes(original)
        return True

    keys = [*neutral] or [*fields]
    mentioned = [key for key in keys if key in message or (isinstance(fields.get(key), str) and repr(fields[key]) in message)]
    alone = next((key for key in mentioned if works_without([key])), None)
    if alone is None and works_without(keys):
        while len(keys) > 1:
            halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
            keys = next(filter(works_without, halves), [])
        alone = next(iter(keys), None)
    elif alone is None:  # some keys are needed
        alone = next((key for key in keys if works_without([key])), None)
    return None if alone is None else Entry(path.name, alone, fields.get(alone))
