"""Which of the possible graphs of one model to build."""

from __future__ import annotations

from dataclasses import dataclass, replace

from youtu_onnx.core.bundle.graph_facts import EXPANDED, GraphFacts
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import OPSET, Target
from youtu_onnx.families.microreason.cache import ROUTED
from youtu_onnx.families.microreason.graph.dialect import DeviceDialect, Dialect, RoutedDialect, StaticDialect


@dataclass(frozen=True)
class GraphForm:
    """Attributes:
    cache: what the graph takes and returns.
    float_dtype: of activations, logits and unquantized weights.
    dialect: how it is written.
    """

    cache: CacheLayout
    float_dtype: str
    dialect: Dialect

    @classmethod
    def of(cls, cache: CacheLayout, recipe: Recipe, target: Target) -> GraphForm:
        return cls(cache, target.floats(recipe.precision), _dialect(cache, target))

    def facts(self, target: Target) -> GraphFacts:
        """What the manifest says of the graph."""
        return GraphFacts(
            provider=target.provider,
            float_dtype=self.float_dtype,
            opset=self.dialect.opset,
            optimized=self.dialect.on_request and self.float_dtype == "float32",  # in float16 the CPU's session adds casts
            attention=(EXPANDED,),
            mask_keeps_logits=self.dialect.on_request,
        )

    def traced(self) -> GraphForm:
        """What traced parts may know: the cache of one layer."""
        first = tuple(tensor for tensor in self.cache.tensors if tensor.layer == 0)
        return replace(self, cache=replace(self.cache, tensors=first))


def _dialect(cache: CacheLayout, target: Target) -> Dialect:
    if cache.form == ROUTED:
        return RoutedDialect(target.opset)
    if target.opset < OPSET:
        return DeviceDialect(target.opset) if cache.length is None else StaticDialect(target.opset, cache.length)
    return Dialect(target.opset)
