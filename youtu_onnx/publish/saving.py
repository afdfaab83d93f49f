"""``--save-checkpoint``: a folder beside the bundle, which appears with it or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from youtu_onnx.core.bundle import Staging
from youtu_onnx.core.checkpoint_names import CONFIG
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.exporters.saved_checkpoint import SavedConfig, save_checkpoint
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Weights
from youtu_onnx.publish.options import ExportOptions


class Saving:
    """The checkpoint of an export, while that is made; without a folder it does nothing."""

    def __init__(self, staging: Staging | None) -> None:
        self._staging = staging
        self._config: SavedConfig | None = None

    @classmethod
    @contextlib.contextmanager
    def to(cls, options: ExportOptions, output: Path) -> Iterator[Saving]:
        """
        Raises:
            UsageError: the folder is there, is the bundle's, or nothing would be in it.
            ResourceError: it can't be written.
        """
        folder = options.save_checkpoint
        if folder is None:
            yield cls(None)
            return
        if options.precision != "int4":
            raise UsageError(
                f"--save-checkpoint writes int4 weights, and the precision is {options.precision}",
                hint="export with --precision int4, or leave --save-checkpoint away",
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists; --save-checkpoint replaces nothing", hint="name a folder that isn't there")
        if folder.absolute() == output.absolute():
            raise UsageError(f"{folder} is the bundle's folder, too", hint="name another folder after --save-checkpoint")
        with Staging(folder, record=CONFIG, kind="checkpoint") as staging:
            yield cls(staging)

    def write(self, assembly: Assembly, checkpoint: Checkpoint, weights: Weights, progress: Progress) -> None:
        """Of a bundle whose data file is written, of these weights."""
        if self._staging is not None:
            self._config = save_checkpoint(assembly, checkpoint, weights, self._staging.folder, progress)

    def publish(self) -> None:
        if self._staging is not None and self._config is not None:
            self._staging.publish(self._config)
