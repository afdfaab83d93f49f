"""What a runtime raises, in our own words: its bindings know bare exceptions only."""

from __future__ import annotations

from youtu_onnx.core.errors import BundleError, ResourceError, YoutuOnnxError

OUT_OF_MEMORY = (
    "failed to allocate memory",
    "bad_alloc",
    "out of memory",
    "cudaerrormemoryallocation",
    "smaller than requested bytes",
)  # the last: an arena at its gpu_mem_limit


def explain(error: Exception, what: str) -> YoutuOnnxError:
    """The error to raise instead. ``what``: what failed, as the beginning of a sentence."""
    text = str(error).strip()
    said = text.lower()
    if isinstance(error, MemoryError) or any(sign in said for sign in OUT_OF_MEMORY) or ("memory" in said and "alloc" in said):
        return ResourceError(
            f"{what}: out of memory", hint="close other programs, use a shorter context, or export with --precision int4"
        )
    return BundleError(f"{what}: {text}", hint="check the bundle with youtu-onnx verify, or export it again")
