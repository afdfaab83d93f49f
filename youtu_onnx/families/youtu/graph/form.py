"""Which of the possible graphs of one model to build."""

from __future__ import annotations

from dataclasses import dataclass

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import OPSET, Target


@dataclass(frozen=True)
class GraphForm:
    """Attributes:
    cache: what the graph takes and returns.
    float_dtype: of activations, logits and unquantized weights.
    integer_heads: whether W_UK and W_UV are int8.
    cpu: whether the graph may have what only ONNX Runtime's CPU provider runs well: both orders of latent attention
        behind an ``If``, products with the keys first, and logits of the last positions only.
    opset: of ONNX's operators.
    """

    cache: CacheLayout
    float_dtype: str
    integer_heads: bool
    cpu: bool
    opset: int

    @classmethod
    def of(cls, cache: CacheLayout, recipe: Recipe, target: Target) -> GraphForm:
        latent = cache.form == "latent"
        return cls(
            cache,
            target.floats(recipe.precision),
            integer_heads=latent and recipe.quantized and target.absorbed_int8,
            cpu=target.has_both_orders(cache.form),
            opset=target.opset,
        )

    @property
    def device(self) -> bool:
        """Whether it is written for GPUs: see ``device.py``."""
        return self.opset < OPSET

    @property
    def static(self) -> bool:
        """Whether it is the form of ``static.py``."""
        return self.cache.length is not None

    @property
    def byte_cache(self) -> bool:
        return self.cache.dtype == "uint8"
