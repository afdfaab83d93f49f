"""Names of kept bundles alone, for shells that complete them: nothing heavy is imported."""

from __future__ import annotations

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import ResourceError
from youtu_onnx.core.user_cache import user_cache
from youtu_onnx.publish.kept.entry import RECORD, Entry


def kept_names() -> list[str]:
    """As ``run`` was told; none where nothing is kept."""
    try:
        files = sorted((user_cache() / "bundles").glob(f"*{RECORD}"))
    except (OSError, ResourceError):
        return []
    there = (file for file in files if (file.with_name(file.name.removesuffix(RECORD)) / names.MANIFEST).is_file())
    return [entry.name for entry in map(Entry.read, there) if entry is not None]
