"""What a shell offers where a bundle or a model is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from youtu_onnx.core.bundle import names
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.publish.kept.named import kept_names

MOST = 1000
"""Entries of a folder that are looked at."""


def bundles(incomplete: str) -> list[str]:
    """Folders that are bundles, below the one that is being typed. Nothing where there are none: shells then offer all files."""
    return sorted(_bundles(incomplete))


def models(incomplete: str) -> list[str]:
    """What ``run`` keeps and what comes with the package, and folders that are bundles."""
    known = dict.fromkeys((*kept_names(), *BUILT_IN))
    return [name for name in known if name.startswith(incomplete)] + bundles(incomplete)


def bundles_and_kept(incomplete: str) -> list[str]:
    """Whatever a command that makes nothing can open."""
    return kept(incomplete) + bundles(incomplete)


def kept(incomplete: str) -> list[str]:
    """What ``run`` keeps."""
    return [name for name in dict.fromkeys(kept_names()) if name.startswith(incomplete)]


def _bundles(incomplete: str) -> Iterator[str]:
    typed, _, begun = incomplete.rpartition("/")
    above = incomplete[: len(incomplete) - len(begun)]
    try:
        with os.scandir(Path(above or ".").expanduser()) as entries:
            for _, entry in zip(range(MOST), entries, strict=False):
                if entry.name.startswith(begun) and _is_bundle(Path(entry.path)):
                    yield f"{above}{entry.name}"
        if begun == "" and typed and _is_bundle(Path(typed).expanduser()):
            yield typed
    except OSError:
        return


def _is_bundle(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (names.MANIFEST, names.VARIANTS))
