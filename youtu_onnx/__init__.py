"""Export Youtu-LLM to ONNX with a latent KV cache, prove it equal to PyTorch, and run it anywhere.

``youtu_onnx.export(…)`` makes a bundle (needs ``pip install youtu-onnx[export]``), ``youtu_onnx.load(…)`` opens one.
Both are imported on first use: this module brings neither torch nor onnxruntime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "export", "load"]

if TYPE_CHECKING:
    from youtu_onnx.exporting import export
    from youtu_onnx.model import load


def __getattr__(name: str) -> Any:
    if name == "load":
        from youtu_onnx.model import load

        return load
    if name == "export":
        from youtu_onnx.exporting import export

        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

