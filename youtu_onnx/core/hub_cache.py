"""How the hub's cache lays out what it downloaded: ``models--ORG--NAME/{blobs,refs,snapshots/COMMIT}``."""

from __future__ import annotations

import re
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
_PREFIX = "models--"


def name_and_commit(folder: Path) -> tuple[str, str | None]:
    """What a checkpoint's folder should be called, and the commit that it is a snapshot of.

    A snapshot's own name is its commit: the model's is above it, in the hub's cache or in a folder that somebody laid out alike.
    """
    folder = folder.resolve()
    if not COMMIT.fullmatch(folder.name):
        inside = folder.parent.name == "snapshots"
        return (cached_repository(folder.parent.parent) if inside else None) or folder.name or str(folder), None
    above = folder.parent.parent if folder.parent.name == "snapshots" else folder.parent
    return cached_repository(above) or above.name or folder.name, folder.name


def cached_repository(folder: Path) -> str | None:
    """``ORG/NAME`` of a model's folder in the cache."""
    name = folder.absolute().name
    return name.removeprefix(_PREFIX).replace("--", "/") if name.startswith(_PREFIX) else None


def snapshots_in(folder: Path) -> list[Path]:
    """Of a model's folder in the cache, that of its main branch first."""
    try:
        found = sorted((folder / "snapshots").iterdir())
        main = (folder / "refs" / "main").read_text(encoding="utf-8").strip() if (folder / "refs" / "main").is_file() else ""
    except (OSError, ValueError):
        return []
    return sorted(found, key=lambda one: one.name != main)
