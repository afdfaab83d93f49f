"""Modules of ours that need packages which may be missing: imported when something of them is first used.

``youtu-onnx export --help`` works without torch, and ``youtu-onnx doctor`` where ONNX Runtime is broken. A module that names one
of those that need them at its top writes:

    if TYPE_CHECKING:
        from youtu_onnx.publish import exporting
    else:
        exporting = Deferred("youtu_onnx.publish.exporting", "exporting", extra="export")

So type checkers and the contract of the layers see an ordinary import.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from youtu_onnx.core.errors import YoutuOnnxError

PACKAGE = __name__.partition(".")[0]


def load(module: str, purpose: str, extra: str | None = None) -> ModuleType:
    """Import a module of ours.

    Args:
        purpose: what needs it, as the subject of a sentence.
        extra: of this package, which brings what the module imports; None: the package itself does.

    Raises:
        YoutuOnnxError: a package that it imports isn't installed, or is broken.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == PACKAGE:
            raise
        command = "pip install youtu-onnx" if extra is None else f'pip install "youtu-onnx[{extra}]"'
        raise YoutuOnnxError(f"{purpose} needs packages that aren't installed ({error.name or error})", hint=command) from error


@dataclass(frozen=True)
class Deferred:
    """Stands for a module; arguments and errors are :func:`load`'s, which the first attribute asked for calls."""

    module: str
    purpose: str
    extra: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(load(self.module, self.purpose, self.extra), name)
