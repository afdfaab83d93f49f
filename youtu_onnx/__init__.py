"""Export Youtu-LLM to ONNX with a latent KV cache, check it against PyTorch, and run it anywhere.

``youtu_onnx.export(…)`` makes a bundle (needs ``pip install youtu-onnx[export]``), ``youtu_onnx.load(…)`` opens one.
``youtu_onnx.ORTYoutuForCausalLM`` opens it for transformers' ``generate()`` (``pip install youtu-onnx[transformers]``).
All are imported on first use: this module brings neither torch nor onnxruntime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from youtu_onnx.core import deferred, telemetry
from youtu_onnx.core.version import __version__

if TYPE_CHECKING:
    from youtu_onnx.chat.opening import load
    from youtu_onnx.publish.exporting import export
    from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM

__all__ = ["ORTYoutuForCausalLM", "__version__", "export", "load"]

telemetry.keep_quiet()  # here, because nothing of this project imports onnxruntime before

_PLACES = {
    "load": ("youtu_onnx.chat.opening", None),
    "export": ("youtu_onnx.publish.exporting", "export"),
    "ORTYoutuForCausalLM": ("youtu_onnx.runtimes.huggingface.model", "transformers"),
}
"""Name → the module that has it, and the extra that brings what it needs."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _PLACES[name]
    return getattr(deferred.load(module, f"youtu_onnx.{name}", extra), name)
