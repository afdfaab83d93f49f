"""What a kept bundle is made of, so that a change of it is noticed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from youtu_onnx.core import hub


@dataclass(frozen=True)
class Origin:
    """A checkpoint as it was named.

    Attributes:
        model: what an export takes: a folder's real path, a built-in name, or a hub id.
        name: what to call it; of a folder, its path.
        revision: of a hub id: branch, tag or commit that was asked for; None: the main branch, as it was when it was fetched.
        folder: where it lies; None for a hub id, which is looked for when it is needed.
    """

    model: str
    name: str
    revision: str | None = None
    folder: Path | None = None

    @classmethod
    def of(cls, model: str, revision: str | None = None) -> Origin:
        """Without asking the hub.

        Raises:
            CheckpointError: neither a folder nor a name that the hub could know.
            UsageError: a revision with something that has none.
        """
        if is_on_hub(model):
            return cls(model, model, revision)
        folder, _, _ = hub.locate(model, revision, offline=True)
        if model in hub.BUILT_IN:
            return cls(model, model, None, folder)
        real = os.path.realpath(folder)
        return cls(real, real, None, Path(real))

    def identity(self) -> dict[str, Any]:
        """JSON-ready; another one where the checkpoint is another: of a folder by the sizes and times of its files."""
        if self.folder is None:
            return {"hub": self.model, "revision": self.revision}
        files = sorted(file for file in self.folder.iterdir() if any(fnmatch(file.name, one) for one in hub.FETCHED))
        stats = {file.name: file.stat() for file in files}
        return {
            "folder": os.path.realpath(self.folder),
            "files": {name: [one.st_size, one.st_mtime_ns] for name, one in stats.items()},
        }


def is_on_hub(model: str) -> bool:
    """Whether a name can only be the hub's: it looks like one, and no folder is called so."""
    return bool(hub.HUB_ID.fullmatch(model)) and model not in hub.BUILT_IN and not Path(model).expanduser().exists()
