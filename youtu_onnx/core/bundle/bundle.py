"""A bundle on disk: open it, check it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from youtu_onnx.core.bundle import names
from youtu_onnx.core.bundle.manifest import FileEntry, Manifest
from youtu_onnx.core.bundle.missing import no_bundle
from youtu_onnx.core.bundle.variants import Variants
from youtu_onnx.core.errors import BundleError

HASHED_ON_OPEN = 64 * 2**20
"""Files up to this many bytes are hashed whenever a bundle is opened; larger ones by ``youtu-onnx verify``."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and its manifest, with every file present and of the right size."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        target: str | None = None,
        hash_limit: int | None = HASHED_ON_OPEN,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Bundle:
        """Open a folder that ``youtu-onnx export`` wrote.

        Args:
            target: which to open of a folder of variants; None: the CPU's, or else the first. A bundle alone is
                opened whatever its target.
            hash_limit: files up to this size are hashed, larger ones compared by size only; None hashes all.
            on_bytes: told the number of bytes hashed since its last call.

        Raises:
            BundleError: not a bundle, or one that was damaged; every damaged file is named.
            UsageError: a folder of variants without one for ``target``.
        """
        path = Path(path)
        try:
            if Variants.are_in(path):
                path = Variants.open(path).choose(target)
            if not (path / names.MANIFEST).is_file():
                raise no_bundle(path)
        except (OSError, ValueError) as error:  # a name too long or with a zero byte, a folder that may not be read
            raise BundleError(f"no bundle at {path}: {error}", hint="name the folder that youtu-onnx export wrote") from error
        manifest = Manifest.read(path / names.MANIFEST)
        faults = []
        for name, entry in manifest.files.items():
            limit = entry.size if hash_limit is None else hash_limit
            fault = _fault(path / name, entry, entry.size <= limit, on_bytes)
            if fault:
                faults.append(f"{name}: {fault}")
        if faults:
            raise BundleError(f"the bundle at {path} is damaged:\n  - " + "\n  - ".join(faults), hint="copy or export it again")
        return cls(path, manifest)

    def file(self, name: str) -> Path:
        return self.path / name

    @property
    def size(self) -> int:
        """Bytes of all files that the manifest lists, each contents once.

        A layout gives the weights a second name. By their hash they are one whether this disk has them as a link or, where it
        knows no links, as a copy: so a bundle's size, and the bits per weight made of it, are the same everywhere.
        """
        return sum(entry.size for entry in set(self.manifest.files.values()))


def describe_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> FileEntry:
    """Size and SHA-256 of a file, read in pieces of 1 MiB."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
            size += len(piece)
            if on_bytes:
                on_bytes(len(piece))
    return FileEntry(size, digest.hexdigest())


def _fault(path: Path, expected: FileEntry, hashed: bool, on_bytes: Callable[[int], None] | None) -> str | None:
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if size != expected.size:
        return f"{size} bytes, expected {expected.size}"
    if hashed and describe_file(path, on_bytes).sha256 != expected.sha256:
        return "contents changed (SHA-256 differs)"
    return None
