"""Export Youtu-LLM to ONNX with a latent KV cache, prove it equal to PyTorch, and run it anywhere.

``youtu_onnx.export(…)`` makes a bundle (needs ``pip install youtu-onnx[export]``), ``youtu_onnx.load(…)`` opens one.
``youtu_onnx.ORTYoutuForCausalLM`` opens it for transformers' ``generate()`` (``pip install youtu-onnx[transformers]``).
All are imported on first use: this module brings neither torch nor onnxruntime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.core.version import __version__

if TYPE_CHECKING:
    from youtu_onnx.chat.model import load
    from youtu_onnx.publish.export import export
    from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM

__all__ = ["ORTYoutuForCausalLM", "__version__", "export", "load"]

_PLACES = {
    "load": ("youtu_onnx.chat.model", "pip install youtu-onnx"),
    "export": ("youtu_onnx.publish.export", 'pip install "youtu-onnx[export]"'),
    "ORTYoutuForCausalLM": ("youtu_onnx.runtimes.huggingface.model", 'pip install "youtu-onnx[transformers]"'),
}
"""Name → the module that has it, and the command that brings what it needs."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, command = _PLACES[name]
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__name__):
            raise
        raise YoutuOnnxError(f"youtu_onnx.{name} needs packages that aren't installed ({error.name})", hint=command) from error
