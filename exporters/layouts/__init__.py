"""What else a bundle may hold, for programs that look for a model under names of their own, or want a graph of their own.

A layout adds files to a bundle that is being written, and completes its JSON files; the bundle stays what it was to everybody
else. Weights are there once: a layout's data file is another name of the bundle's, where the disk can do that.
"""

from __future__ import annotations

from pathlib import Path

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.layouts import browser, transformers_js

BROWSER, TRANSFORMERS_JS = "browser", "transformers.js"
LAYOUTS = {TRANSFORMERS_JS: transformers_js.add, BROWSER: browser.add}


def check_layout(name: str | None, row: Target) -> None:
    """
    Raises:
        UsageError: no such layout, or none for this target.
    """
    if name is not None and name not in LAYOUTS:
        raise UsageError(f"unknown layout {name!r}", hint=f"choose one of: {', '.join(LAYOUTS)}")
    if name == BROWSER and not row.on_cpu:
        raise UsageError(
            f"the layout {name} adds a graph for WebAssembly, which is a CPU, and the target is {row.name}",
            hint="choose --target cpu for it",
        )
    if name == TRANSFORMERS_JS and row.static_cache:
        raise UsageError(
            f"{name} takes the rows of a cache for the tokens in it, and target {row.name} reserves rows",
            hint="choose --target cpu or webgpu for it",
        )


def check_assembly(name: str | None, assembly: Assembly) -> None:
    """
    Raises:
        UsageError: the layout's library can't hold this cache, or a browser these weights.
    """
    cache = assembly.cache
    if name == BROWSER:
        browser.check(assembly.graph)
    if name == TRANSFORMERS_JS and not cache.uniform:
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
