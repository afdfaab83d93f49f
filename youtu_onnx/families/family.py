"""What a model family is to generic code, where nothing is traced and torch isn't there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from youtu_onnx.core.bundle import GraphFacts
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.architecture import Architecture

A = TypeVar("A", bound=Architecture)


class Family(Protocol[A]):
    """One family; ``A`` is its own architecture. How its graphs are made is in :mod:`youtu_onnx.families.exportable`.

    Attributes:
        name: what a manifest calls it.
        model_types: the ``model_type`` of a checkpoint's ``config.json`` that it answers to.
        transformers_type: the ``model_type`` by which Hugging Face's libraries know such a model.
        transformers_config: transformers' configuration class for it, which :meth:`Architecture.to_hf_config` has the fields of.
        transformers_class: what a checkpoint's ``config.json`` calls the model's class.
        witness: the PyTorch model that exports are measured against.
        tags: by which the Hugging Face hub finds such models.
        cache_forms: what a user may choose of with ``--cache``, the first that every target takes first.
        sensitive: shell patterns of the matrices whose rounding to 4 bits costs most for what it saves: int4 exports keep them
            at 8 unless told otherwise.
    """

    @property
    def name(self) -> str: ...

    @property
    def model_types(self) -> tuple[str, ...]: ...

    @property
    def cache_forms(self) -> tuple[str, ...]: ...

    @property
    def sensitive(self) -> tuple[str, ...]: ...

    @property
    def transformers_type(self) -> str: ...

    @property
    def transformers_config(self) -> str: ...

    @property
    def transformers_class(self) -> str: ...

    @property
    def witness(self) -> str: ...

    @property
    def tags(self) -> tuple[str, ...]: ...

    def parse(self, config: Mapping[str, Any], *, where: str) -> A:
        """A checkpoint's configuration.

        Raises:
            CheckpointError: fields that can't be; every fault is named, not the first only.
        """

    def remarks(self, config: Mapping[str, Any], architecture: A) -> list[str]:
        """Sentences about what :meth:`parse` took for less than ``config`` says."""

    def read(self, record: Mapping[str, Any]) -> A:
        """What a manifest recorded.

        Raises:
            KeyError, TypeError, ValueError: it is not what :meth:`Architecture.to_dict` wrote.
        """

    def cache_form(self, architecture: A, recipe: Recipe, target: Target) -> str:
        """The cache that a bundle has unless the user chooses."""

    def check_cache_form(self, form: str, recipe: Recipe, target: Target) -> None:
        """
        Raises:
            UsageError: no such form, or none for these weights or this target.
        """

    def cache_layout(self, architecture: A, form: str, dtype: str, length: int | None) -> CacheLayout:
        """
        Args:
            form: one of :attr:`cache_forms`.
            dtype: of the graph's floats.
            length: of a static cache; None for one that grows.

        Raises:
            UsageError: the model or the form can't have it.
        """

    def step_bytes(self, architecture: A, graph: GraphFacts, cache: CacheLayout, *, tokens: int, new: int, logits: int) -> int:
        """Bytes that a step holds beside weights and cache at its peak, about.

        Args:
            tokens: that the cache comes to with the step.
            new: tokens of the step.
            logits: positions whose logits are computed.
        """
