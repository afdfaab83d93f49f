"""What else a bundle may hold, for programs that look for a model under names of their own.

A layout adds files to a bundle that is being written, and completes its JSON files; the bundle stays what it was to everybody
else. Weights are there once: a layout's data file is another name of the bundle's, where the disk can do that.
"""

from __future__ import annotations

from pathlib import Path

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.layouts import transformers_js

LAYOUTS = {"transformers.js": transformers_js.add}


def check_layout(name: str | None, row: Target) -> None:
    """
    Raises:
        UsageError: no such layout, or none for this target.
    """
    if name is not None and name not in LAYOUTS:
        raise UsageError(f"unknown layout {name!r}", hint=f"choose one of: {', '.join(LAYOUTS)}")
    if name is not None and row.static_cache:
        raise UsageError(
            f"{name} takes the rows of a cache for the tokens in it, and target {row.name} reserves rows",
            hint="choose --target cpu or webgpu for it",
        )


def check_cache(name: str | None, cache: CacheLayout) -> None:
    """
    Raises:
        UsageError: the layout's library can't hold this cache.
    """
    if name is not None and not cache.uniform:
        raise UsageError(
            f"{name} takes the rows of a cache for the tokens in it, and rows leave a {cache.form} cache",
            hint="export with another --cache for it",
        )


def add_layout(name: str | None, manifest: Manifest, folder: Path) -> Manifest:
    """Add a layout's files to the folder of an unpublished bundle; the manifest with them in it. None adds nothing.

    Raises:
        OSError: the disk is full.
    """
    return manifest if name is None else LAYOUTS[name](manifest, folder)
