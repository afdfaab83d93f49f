"""Which entries of a checkpoint's text files something is due to: those without which it works."""

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
TEMPLATES = (names.CHAT_TEMPLATE, names.ADDITIONAL_CHAT_TEMPLATES)
NEUTRAL: Mapping[str, Any] = {
    "version": "1.0",
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
    """An entry of a file; a template's file is one as a whole, and has no key."""

    file: str
    key: str = ""
    value: Any = None

    def __str__(self) -> str:
        return f"{self.key} is {shown(self.value)}" if self.key else "this template"


def culprits(folder: Path, message: str, files: Sequence[str], attempt: Callable[[Path], object]) -> list[Entry]:
    """Entries of the files and templates without which the attempt succeeds, no more than needed; empty where none are.

    Args:
        message: of the error; what it mentions is suspected first.
        attempt: takes a folder, and raises a CheckpointError as it does for this one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trial = _Trial(folder, Path(scratch) / folder.name, files)

        def works(left: Sequence[Entry]) -> bool:
            trial.write(left)
            try:
                attempt(trial.copy)
            except CheckpointError:
                return False
            return True

        suspects = trial.entries
        likely = [one for one in suspects if _is_in(message, one)]
        likely += [one for one in suspects if one.key.endswith("_token") and one not in likely]  # templates read them
        alone = next(([one] for one in likely if works([one])), None)
        return alone or (_fewest(suspects, works) if works(suspects) else [])


def _is_in(message: str, entry: Entry) -> bool:
    return bool(entry.key) and (entry.key in message or (isinstance(entry.value, str) and repr(entry.value) in message))


def _fewest(entries: list[Entry], works: Callable[[Sequence[Entry]], bool]) -> list[Entry]:
    """Halves as long as one of them is enough, then one less as long as the others are."""
    while len(entries) > 1:
        halves = entries[: len(entries) // 2], entries[len(entries) // 2 :]
        half = next(filter(works, halves), None)
        if half is None:
            break
        entries = half
    for one in entries if len(entries) > 1 else ():
        others = [other for other in entries if other is not one]
        entries = others if others and works(others) else entries
    return entries


class _Trial:
    """A copy of a folder's text files, with entries left out."""

    def __init__(self, folder: Path, copy: Path, files: Sequence[str]) -> None:
        self.copy, self._folder = copy, folder
        self._files = [name for name in files if (folder / name).is_file()]
        self._fields = {name: json.loads((folder / name).read_text(encoding="utf-8")) for name in self._files}
        copy.mkdir()
        for path in folder.iterdir():
            if path.suffix in TEXT_FILES and path.is_file():
                shutil.copyfile(path, copy / path.name)

    @property
    def entries(self) -> list[Entry]:
        keys = [(name, key) for name in self._files for key in (NEUTRAL if name == names.TOKENIZER else self._fields[name])]
        own = [Entry(name, key, self._fields[name].get(key)) for name, key in keys]
        return [*own, *(Entry(name) for name in TEMPLATES if (self._folder / name).exists())]

    def write(self, left: Sequence[Entry]) -> None:
        """The copy without some entries."""
        for name in self._files:
            neutral = NEUTRAL if name == names.TOKENIZER else {}
            gone = [one.key for one in left if one.file == name]
            kept = {key: value for key, value in self._fields[name].items() if key not in gone}
            text = json.dumps(kept | {key: neutral[key] for key in gone if key in neutral})
            (self.copy / name).write_text(text, encoding="utf-8")
        for name in TEMPLATES:
            source, stays = self._folder / name, not any(one.file == name for one in left)
            if source.is_dir():
                shutil.rmtree(self.copy / name, ignore_errors=True)
                if stays:
                    shutil.copytree(source, self.copy / name)
            elif source.exists():
                (self.copy / name).unlink(missing_ok=True)
                if stays:
                    shutil.copyfile(source, self.copy / name)
