"""Export Youtu-LLM to ONNX with a latent KV cache, prove it equal to PyTorch, and run it anywhere.

``youtu_onnx.export(…)`` makes a bundle (needs ``pip install youtu-onnx[export]``), ``youtu_onnx.load(…)`` opens one.
Both are imported on first use: this module brings neither torch nor onnxruntime.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "export", "load"]

if TYPE_CHECKING:
    from youtu_onnx.export import export
    from youtu_onnx.model import load


def __getattr__(name: str) -> Any:
    if name == "load":
        from youtu_onnx.model import load

        return load
    if name == "export":
        from youtu_onnx.export import export

        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps ``youtu_onnx.export`` the function: importing the submodule of that name would put the module there."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.export if name == "export" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
