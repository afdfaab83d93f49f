"""What a model family is to the exporter: how its graphs are traced and what its weights become. Needs torch."""

from __future__ import annotations

from typing import Protocol, TypeVar

import onnx_ir as ir

from youtu_onnx.core.bundle import GraphFacts
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.graphs.adapted_rows import AdaptedHeads, AdaptedRows
from youtu_onnx.graphs.parameter import Parameter


class Form(Protocol):
    """Which of the possible graphs of one model to build; hashable, since graphs are kept by it.

    Attributes:
        cache: what the graph takes and returns.
        float_dtype: of activations, logits and unquantized weights.
    """

    @property
    def cache(self) -> CacheLayout: ...

    @property
    def float_dtype(self) -> str: ...

    def facts(self, target: Target) -> GraphFacts:
        """What the manifest says of the graph."""


A = TypeVar("A", bound=Architecture, contravariant=True)
F = TypeVar("F", bound=Form)


class Exportable(Protocol[A, F]):
    """The exporter's side of one family: ``A`` is its architecture, ``F`` its form."""

    def form(self, cache: CacheLayout, recipe: Recipe, target: Target) -> F:
        """For a cache that :meth:`youtu_onnx.families.family.Family.check_cache_form` let pass."""

    def adaptable(self, form: F) -> F:
        """The form with inputs for adapters of what is no plain matrix in it, where that can have them."""

    def parameters(self, architecture: A, form: F) -> dict[str, Parameter]:
        """All parameters of the graph: name in the graph → how it is made of the checkpoint's tensors."""

    def adapted(self, architecture: A, form: F) -> dict[str, tuple[AdaptedRows, ...]]:
        """Matrices that LoRA adapters may change beside the weights: name in the graph → the checkpoint's rows that it has."""

    def adapted_heads(self, architecture: A, form: F) -> dict[str, AdaptedHeads]:
        """What adapters may change that is no plain matrix in the graph: its name there → the checkpoint's rows that it has."""

    def graph(self, architecture: A, form: F) -> ir.Model:
        """The graph of one sequence or of a padded batch, before any pass. Parameters are initializers without data."""

    def batch_graph(self, architecture: A, form: F) -> ir.Model | None:
        """The graph of several sequences with caches of their own (:mod:`youtu_onnx.core.batch_graph`), over the same parameters;
        None where this form has none."""
