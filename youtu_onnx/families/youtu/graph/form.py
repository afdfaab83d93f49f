"""Which of the possible graphs of one model to build."""

from __future__ import annotations

from dataclasses import dataclass, replace

from youtu_onnx.core.bundle.graph_facts import ABSORBED, EXPANDED, GraphFacts
from youtu_onnx.core.cache import UNUSED, CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import OPSET, Target
from youtu_onnx.families.youtu.cache import LATENT

EXPANDS_FROM = 64
"""New tokens of a step from which a graph of both orders of attention expands keys and values: there the products saved
outweigh those of the expansion."""


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
        latent, integers = cache.form == LATENT, recipe.quantized and target.integer_products
        return cls(
            cache,
            target.floats(recipe.precision),
            integer_heads=latent and integers,
            cpu=latent and target.branches,
            opset=target.opset,
        )

    def facts(self, target: Target) -> GraphFacts:
        """What the manifest says of the graph."""
        latent = self.cache.form == LATENT
        return GraphFacts(
            provider=target.provider,
            float_dtype=self.float_dtype,
            opset=self.opset,
            optimized=self.cpu and self.float_dtype == "float32",  # in float16 the CPU's session puts casts around operators
            attention=(ABSORBED, EXPANDED) if self.cpu else (ABSORBED,) if latent else (EXPANDED,),
            expands_from=EXPANDS_FROM if self.cpu else None,
        )

    def traced(self) -> GraphForm:
        """What traced parts may know: the cache of one layer."""
        first = tuple(tensor for tensor in self.cache.tensors if tensor.layer == 0 and tensor.role != UNUSED)
        return replace(self, cache=replace(self.cache, tensors=first))

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
