"""The record beside a kept bundle: what it was made of, and how."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from youtu_onnx.core.atomic import write_text
from youtu_onnx.publish.kept.origin import Origin
from youtu_onnx.publish.options import ExportOptions

FORMAT = 1
RECORD = ".json"
"""Behind the name of the bundle's folder, beside which the record lies."""


@dataclass(frozen=True)
class Entry:
    """
    Attributes:
        name: what ``run`` is told to find it again: a hub id, a built-in name, or a folder's path.
        origin: see :meth:`youtu_onnx.publish.kept.origin.Origin.identity`.
        options: those of the export that a kept bundle may differ in.
        commit: of a hub id: what was fetched; None where it isn't known, and for folders.
        made: when it was begun, in ISO 8601.
        seconds: how long making took; None as long as it isn't finished.
    """

    name: str
    origin: Mapping[str, Any]
    options: Mapping[str, Any]
    commit: str | None
    made: str
    seconds: float | None = None

    @classmethod
    def read(cls, path: Path) -> Entry | None:
        """None where it isn't there, or isn't one of ours."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(**found) if found.pop("format") == FORMAT else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        write_text(path, json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n")

    @property
    def precision(self) -> str:
        return str(self.options.get("precision"))


def choices(options: ExportOptions) -> dict[str, Any]:
    """What kept bundles of one checkpoint may differ in."""
    return {"precision": options.precision, "algorithm": options.algorithm, "cache": options.cache}


def folder_name(origin: Origin, options: ExportOptions) -> str:
    """``Youtu-LLM-2B-int4-`` and the beginning of a hash of all that decides what is in the bundle."""
    decides = json.dumps({"origin": origin.identity(), "options": choices(options)}, sort_keys=True)
    plain = "".join(one if one.isalnum() or one in "._-" else "-" for one in os.path.basename(origin.name))  # noqa: PTH119
    return f"{plain[:40].lstrip('.') or 'model'}-{options.precision}-{hashlib.sha256(decides.encode()).hexdigest()[:16]}"
