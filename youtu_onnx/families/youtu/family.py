"""Youtu-LLM as a family: what generic code asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from youtu_onnx.core.bundle import GraphFacts
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.youtu.architecture import MODEL_TYPES, Architecture
from youtu_onnx.families.youtu.cache import CACHE_FORMS, LATENT, LATENT_FP16, LATENT_INT8, cache_layout


class Youtu:
    """Implements :class:`youtu_onnx.families.family.Family`."""

    name = "youtu"
    model_types = MODEL_TYPES
    transformers_type, transformers_config, transformers_class = "youtu", "YoutuConfig", "YoutuForCausalLM"
    witness = "transformers' own implementation"
    tags = ("youtu", "multi-head-latent-attention")
    cache_forms = CACHE_FORMS
    sensitive = ("*.kv_a_proj_with_mqa",)
    """What every head reads of a token. In a language model of 177 million parameters, all others at 4 bits by GPTQ, these 4 % of
    the weights at 8 bits take the mean KL from 0.103 nats to 0.056; no other kind, up to six times as large, gets below 0.087."""

    def parse(self, config: Mapping[str, Any], *, where: str) -> Architecture:
        return Architecture.from_config(config, where=where)

    def remarks(self, config: Mapping[str, Any], architecture: Architecture) -> list[str]:
        longest, said = architecture.max_position_embeddings, config["max_position_embeddings"]
        if longest == said:
            return []
        return [
            f"the context is {longest:,} tokens, longrope's original_max_position_embeddings, and not {said:,}: beyond it other "
            "frequencies would be chosen than those of the tokens in the cache (docs/checkpoints.md)"
        ]

    def read(self, record: Mapping[str, Any]) -> Architecture:
        return Architecture.from_dict(record)

    def cache_form(self, architecture: Architecture, recipe: Recipe, target: Target) -> str:
        """Bytes need integer weights beside them: factors are moved between the two."""
        return LATENT_INT8 if target.little_memory and recipe.quantized else LATENT

    def check_cache_form(self, form: str, recipe: Recipe, target: Target) -> None:
        if form not in CACHE_FORMS:
            raise UsageError(f"unknown cache form {form!r}", hint=f"choose one of: {', '.join(CACHE_FORMS)}")
        if form == LATENT_INT8 and not (recipe.quantized and target.integer_products):
            raise UsageError(
                "an int8 cache needs int8 or int4 weights and the target cpu or mobile",
                hint="export with --precision int4 --target cpu, or with --cache latent",
            )
        if form == LATENT_FP16 and (target.floats(recipe.precision) != "float32" or not target.on_cpu):
            raise UsageError(
                "latent-fp16 is for graphs that compute in float32 on the CPU: targets cpu and mobile, and not precision fp16",
                hint="export with --cache latent, which keeps a token in the floats that the graph has",
            )

    def cache_layout(self, architecture: Architecture, form: str, dtype: str, length: int | None) -> CacheLayout:
        return cache_layout(architecture, form, dtype, length)

    def step_bytes(
        self, architecture: Architecture, graph: GraphFacts, cache: CacheLayout, *, tokens: int, new: int, logits: int
    ) -> int:
        """Scores and attention weights of every head, the MLP's layers and their copies, queries and contexts as wide as a latent
        row, the logits; and, where the step expands, every head's keys and values and what they are made from.

        Measured on the CPU at the 2B shape, in steps of 512 whose last position alone has logits: 0.69 GB at 4,608 tokens and
        3.2 GB at 32,768, where this gives 0.61 and 3.3.
        """
        a, floats = architecture, 4
        scores = 2 * a.num_attention_heads * new * tokens
        widest = new * (4 * (2 * a.intermediate_size + 2 * a.hidden_size) + 2 * a.num_attention_heads * a.latent_dim)
        heads = a.num_attention_heads * tokens * (a.qk_head_dim + a.qk_nope_head_dim + a.v_head_dim)
        halves = (cache.dtype, graph.float_dtype) == ("float16", "float32")
        widened = tokens * a.latent_dim if halves else 0  # one layer's rows
        return floats * (scores + widest + widened + (heads if graph.expands(new) else 0) + logits * a.vocab_size)


YOUTU = Youtu()
