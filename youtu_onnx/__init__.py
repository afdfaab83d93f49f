"""Export Youtu-LLM to ONNX with a latent KV cache, prove it equal to PyTorch, and run it anywhere.

``youtu_onnx.export(…)`` makes a bundle (needs ``pip install youtu-onnx[export]``), ``youtu_onnx.load(…)`` opens one.
``youtu_onnx.ORTYoutuForCausalLM`` opens it for transformers' ``generate()`` (``pip install youtu-onnx[transformers]``).
All are imported on first use: this module brings neither torch nor onnxruntime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["ORTYoutuForCausalLM", "__version__", "export", "load"]

if TYPE_CHECKING:
    from youtu_onnx.chat.model import load
    from youtu_onnx.publish.export import export
    from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM


def __getattr__(name: str) -> Any:
    if name == "load":
        from youtu_onnx.chat.model import load

        return load
    if name == "export":
        from youtu_onnx.publish.export import export

        return export
    if name == "ORTYoutuForCausalLM":
        return _class_for_transformers()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _class_for_transformers() -> type:
    from youtu_onnx.core.errors import YoutuOnnxError

    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise YoutuOnnxError(
            f"ORTYoutuForCausalLM needs packages that aren't installed ({error.name})",
            hint='pip install "youtu-onnx[transformers]", or open the bundle with youtu_onnx.load',
        ) from error
    from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM

    return ORTYoutuForCausalLM
