"""MicroReason as a family: what generic code asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from youtu_onnx.core.bundle import GraphFacts
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.microreason.architecture import MODEL_TYPES, Architecture
from youtu_onnx.families.microreason.cache import CACHE_FORMS, MASKED, ROUTED, cache_layout


class MicroReason:
    """Implements :class:`youtu_onnx.families.family.Family`."""

    name = "microreason"
    model_types = MODEL_TYPES
    transformers_type, transformers_config, transformers_class = "qwen3", "Qwen3Config", "MicroReasonForCausalLM"
    witness = "transformers' own Qwen3 layers and a gate beside them"
    tags = ("microreason", "dynamic-memory-sparsification")
    cache_forms = CACHE_FORMS
    sensitive = ()
    """Gates, on which it depends what is seen at all, are kept as floats in any recipe: 1 row of each layer."""

    def parse(self, config: Mapping[str, Any], *, where: str) -> Architecture:
        return Architecture.from_config(config, where=where)

    def remarks(self, config: Mapping[str, Any], architecture: Architecture) -> list[str]:
        return []

    def read(self, record: Mapping[str, Any]) -> Architecture:
        return Architecture.from_dict(record)

    def cache_form(self, architecture: Architecture, recipe: Recipe, target: Target) -> str:
        return ROUTED if target.on_cpu and architecture.attention_routing else MASKED

    def check_cache_form(self, form: str, recipe: Recipe, target: Target) -> None:
        if form not in CACHE_FORMS:
            raise UsageError(f"unknown cache form {form!r}", hint=f"choose one of: {', '.join(CACHE_FORMS)}")
        if form == ROUTED and not target.on_cpu:
            raise UsageError(
                f"a routed cache, whose layers differ in length, needs the target cpu or mobile, and this is {target.name}",
                hint=f"export with --cache {MASKED}",
            )

    def cache_layout(self, architecture: Architecture, form: str, dtype: str, length: int | None) -> CacheLayout:
        return cache_layout(architecture, form, dtype, length)

    def step_bytes(
        self, architecture: Architecture, graph: GraphFacts, cache: CacheLayout, *, tokens: int, new: int, logits: int
    ) -> int:
        """Scores and attention weights of every head, the masks that are added to them, the MLP's layers and their copies,
        queries, keys and values, and the logits."""
        a, floats = architecture, 4
        scores = (2 * a.num_attention_heads + 3) * new * tokens
        widest = new * 4 * (2 * a.intermediate_size + 2 * a.hidden_size + 3 * a.inner_size)
        return floats * (scores + widest + logits * a.vocab_size)


MICROREASON = MicroReason()
