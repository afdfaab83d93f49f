"""Several bundles of one checkpoint in one folder: one for each target, each whole and in a folder of its target's name.

Files with the same bytes lie on the disk once, by hard links where the file system has them. So each variant can be copied
away and used alone, and programs that know nothing of variants are given one of the folders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from youtu_onnx.core.bundle import names
from youtu_onnx.core.bundle.manifest import Manifest, is_plain_name
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.core.target import TARGETS

FORMAT_VERSION = 1
DEFAULT = "cpu"
"""The variant that is opened where nothing says which, if it is there: it runs everywhere."""


@dataclass(frozen=True)
class Variants:
    """A folder of variants. ``targets``: those that are there, in the order of their export."""

    path: Path
    targets: tuple[str, ...]

    @staticmethod
    def are_in(path: Path) -> bool:
        return (path / names.VARIANTS).is_file()

    @classmethod
    def open(cls, path: Path) -> Variants:
        """
        Raises:
            BundleError: the list of variants is damaged, or would lead out of the folder.
        """
        file = path / names.VARIANTS
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            version, targets = fields["format_version"], tuple(fields["variants"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BundleError(
                f"{file} is no list of variants ({type(error).__name__}: {error})",
                hint="export the folder again, or name one of the bundles in it",
            ) from error
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{file} has format version {version}; this youtu-onnx reads version {FORMAT_VERSION}",
                hint="upgrade youtu-onnx, or name one of the bundles in the folder",
            )
        if not targets or not all(isinstance(one, str) and is_plain_name(one) and "/" not in one for one in targets):
            raise BundleError(
                f"{file} names no variants, or folders outside of its own",
                hint="do not use this folder; it was not written by youtu-onnx",
            )
        return cls(path, targets)

    def choose(self, target: str | None) -> Path:
        """The folder of a target's bundle, or of one for the same provider; without a target the CPU's, or else the first.

        Raises:
            UsageError: there is none for this target.
            BundleError: one of the bundles has no manifest.
        """
        if target is None:
            target = DEFAULT if DEFAULT in self.targets else self.targets[0]
        if target not in self.targets:
            wanted = TARGETS[target].provider if target in TARGETS else target
            for one in self.targets:
                if Manifest.read(self.path / one / names.MANIFEST).graph.provider == wanted:
                    return self.path / one
            raise UsageError(
                f"{self.path} has no bundle for {target}; it has: {', '.join(self.targets)}",
                hint=f"export it again with --target {','.join((*self.targets, target))}",
            )
        return self.path / target

    def to_json(self) -> str:
        return json.dumps({"format_version": FORMAT_VERSION, "variants": list(self.targets)}, indent=2) + "\n"


def share_equal_files(folders: Sequence[Path]) -> int:
    """Give files with the same bytes, as the bundles' manifests say, one place on the disk. Returns the bytes saved.

    Where the file system has no hard links the copies stay.
    """
    seen: dict[tuple[int, str], Path] = {}
    saved = 0
    for folder in folders:
        for name, entry in Manifest.read(folder / names.MANIFEST).files.items():
            path, first = folder / name, seen.setdefault((entry.size, entry.sha256), folder / name)
            if first != path and _linked(first, path):
                saved += entry.size
    return saved


def _linked(first: Path, path: Path) -> bool:
    """Replace ``path`` by another name of ``first``, at once or not at all."""
    link = path.with_name(f".{path.name}.link")
    try:
        os.link(first, link)
        os.replace(link, path)
    except OSError:
        link.unlink(missing_ok=True)
        return False
    return True
