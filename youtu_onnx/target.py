"""Where a graph is meant to run: one table picks activation dtype and the operators' forms.

A row is added when its form has been run: the names come from ONNX Runtime's execution providers.
"""

from __future__ import annotations

from dataclasses import dataclass

from youtu_onnx.errors import UsageError

MANY = 64
"""New tokens of a step from which a graph of both orders of attention expands keys and values: there the products saved
outweigh those of the expansion."""


@dataclass(frozen=True)
class Target:
    """One row of the table.

    Attributes:
        name: what the user types after ``--target``.
        provider: ONNX Runtime's name of the execution provider.
        genai_provider: onnxruntime-genai's name of it; None where it is the default (CPU).
        float_dtype: dtype of activations and unquantized weights when the precision is int4 or int8.
        zero_points: whether 4/8-bit weights carry explicit uint8 zero points even when symmetric
            (DirectML reads a missing zero point as 0 and WebGPU takes no other form).
        gather_quantized: whether GatherBlockQuantized runs there; otherwise the embedding stays float.
        absorbed_int8: whether W_UK and W_UV are stored as int8 and multiplied as integers; the int8 cache needs it.
        block_size: weights per scale unless the user says otherwise: what the provider's int4 kernels are fast with.
        dual_form: whether a latent graph holds both orders of attention and computes logits of the last positions only on
            request: an ``If`` in each layer, which graph capture does not take.
    """

    name: str
    provider: str
    genai_provider: str | None
    float_dtype: str
    zero_points: bool
    gather_quantized: bool
    absorbed_int8: bool
    dual_form: bool
    block_size: int

    def has_both_orders(self, cache_form: str) -> bool:
        """Whether a graph of this cache form holds both orders of attention: ``dual_form``, where there are two."""
        return self.dual_form and cache_form == "latent"

    def floats(self, precision: str) -> str:
        """dtype of activations and logits for a recipe's precision: its own where that is a float's."""
        return {"fp32": "float32", "fp16": "float16"}.get(precision, self.float_dtype)


TARGETS = {
    "cpu": Target("cpu", "CPUExecutionProvider", None, "float32", zero_points=False, gather_quantized=True,
                  absorbed_int8=True, dual_form=True, block_size=256),
    "cuda": Target("cuda", "CUDAExecutionProvider", "cuda", "float16", zero_points=False, gather_quantized=True,
                   absorbed_int8=False, dual_form=False, block_size=128),
    "dml": Target("dml", "DmlExecutionProvider", "dml", "float16", zero_points=True, gather_quantized=False,
                  absorbed_int8=False, dual_form=False, block_size=128),
    "webgpu": Target("webgpu", "WebGpuExecutionProvider", "webgpu", "float16", zero_points=True, gather_quantized=True,
                     absorbed_int8=False, dual_form=False, block_size=128),
}


def target(name: str) -> Target:
    """The row called ``name``.

    Raises:
        UsageError: no such target.
    """
    try:
        return TARGETS[name]
    except KeyError:
        raise UsageError(f"unknown target {name!r}", hint=f"choose one of: {', '.join(TARGETS)}") from None
