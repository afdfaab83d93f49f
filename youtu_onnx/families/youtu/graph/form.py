"""Which of the possible graphs of one model to build."""

from __future__ import annotations

from dataclasses import dataclass, replace

from youtu_onnx.core.bundle.graph_facts import ABSORBED, EXPANDED, GraphFacts
from youtu_onnx.core.cache import UNUSED, CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import OPSET, Target
from youtu_onnx.families.youtu.cache import EXPANDS_FROM, LATENT
from youtu_onnx.families.youtu.graph.device import DeviceDialect
from youtu_onnx.families.youtu.graph.dialect import CpuDialect, Dialect
from youtu_onnx.families.youtu.graph.heads import ByteHeads, FloatHeads
from youtu_onnx.families.youtu.graph.latent import Latent
from youtu_onnx.families.youtu.graph.rows import ByteRows, FloatRows, HalfRows
from youtu_onnx.families.youtu.graph.static import StaticDialect


@dataclass(frozen=True)
class GraphForm:
    """Attributes:
    cache: what the graph takes and returns.
    float_dtype: of activations, logits and unquantized weights.
    dialect: how it is written.
    latent: what a latent cache is made of; None where every head's keys and values are cached.
    """

    cache: CacheLayout
    float_dtype: str
    dialect: Dialect
    latent: Latent | None

    @classmethod
    def of(cls, cache: CacheLayout, recipe: Recipe, target: Target) -> GraphForm:
        floats = target.floats(recipe.precision)
        latent = _latent(cache, floats, recipe, target) if cache.form == LATENT else None
        return cls(cache, floats, _dialect(cache, target, latent), latent)

    def facts(self, target: Target) -> GraphFacts:
        """What the manifest says of the graph."""
        both, one = (ABSORBED, EXPANDED), (ABSORBED if self.latent else EXPANDED,)
        return GraphFacts(
            provider=target.provider,
            float_dtype=self.float_dtype,
            opset=self.dialect.opset,
            # in float16 the CPU's session puts casts around operators
            optimized=self.dialect.both_orders and self.float_dtype == "float32",
            attention=both if self.dialect.both_orders else one,
            expands_from=EXPANDS_FROM if self.dialect.both_orders else None,
            mask_keeps_logits=self.dialect.both_orders,
        )

    def adaptable(self) -> GraphForm:
        """With inputs for adapters of the latent's heads, where these can have them."""
        return replace(self, latent=None if self.latent is None else self.latent.adaptable())

    def traced(self) -> GraphForm:
        """What traced parts may know: the cache of one layer."""
        first = tuple(tensor for tensor in self.cache.tensors if tensor.layer == 0 and tensor.role != UNUSED)
        return replace(self, cache=replace(self.cache, tensors=first))


def _dialect(cache: CacheLayout, target: Target, latent: Latent | None) -> Dialect:
    if target.opset < OPSET:
        return DeviceDialect(target.opset) if cache.length is None else StaticDialect(target.opset, cache.length)
    return CpuDialect(target.opset) if latent and target.branches else Dialect(target.opset)


def _latent(cache: CacheLayout, floats: str, recipe: Recipe, target: Target) -> Latent:
    heads = ByteHeads if recipe.quantized and target.integer_products else FloatHeads
    if cache.dtype == "uint8":
        return Latent(ByteRows, heads)
    return Latent(FloatRows if cache.dtype == floats else HalfRows, heads)
