"""What transformers' ``generate()`` asks of a model, answered for a bundle."""

from __future__ import annotations

import logging
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.huggingface.cache import OrtCache
from youtu_onnx.runtimes.huggingface.refusals import REFUSED, own_cache, refuse
from youtu_onnx.runtimes.ort.model import OrtModel

CACHES = (None, "dynamic", "dynamic_full")
"""What ``cache_implementation`` may be: the graph has its own cache, chosen when the bundle was exported. ``dynamic_full``,
which transformers 5.1 sets for assistants, forgets no row, and this one doesn't."""

logger = logging.getLogger("youtu_onnx.runtimes.huggingface.model")


class BundleGeneration(GenerationMixin):
    """transformers' loops over a bundle."""

    model: OrtModel
    generation_config: GenerationConfig

    def new_cache(self) -> OrtCache:
        """Of no tokens, for any number of sequences."""
        manifest = self.model.bundle.manifest
        return OrtCache(manifest.cache, self.model.device, manifest.context_length)

    def generate(  # type: ignore[override]  # whatever else a release of transformers takes is in options
        self, inputs: torch.Tensor | None = None, generation_config: GenerationConfig | None = None, **options: Any
    ) -> Any:
        """transformers' ``generate()``; see ``GenerationMixin.generate`` for its options.

        Raises:
            UsageError: an option that the graph can't serve (:data:`REFUSED`, and caches of other kinds).
        """

        def asked(name: str) -> Any:
            sources = (options.get(name), getattr(generation_config, name, None), getattr(self.generation_config, name, None))
            return next((value for value in sources if value is not None), None)

        refuse(name for name in REFUSED if asked(name) is not None and asked(name) is not False)
        if asked("cache_implementation") not in CACHES:
            raise UsageError(
                f"cache_implementation={asked('cache_implementation')!r}: the graph has its own cache, whose form "
                "was chosen by export",
                hint="leave it away; for a smaller cache export with --cache latent-int8",
            )
        if (cache := options.get("past_key_values")) is not None:
            own_cache(cache)
        loops: Any = super()  # typed as methods of transformers' own models
        return loops.generate(inputs, generation_config, **options)

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, *inputs: Any, **kwargs: Any) -> dict[str, Any]:
        """Without what generate() hands to every model though it is meant for itself: the tokenizer of ``stop_strings``."""
        loops: Any = super()
        made: dict[str, Any] = loops.prepare_inputs_for_generation(input_ids, *inputs, **kwargs)
        return {name: value for name, value in made.items() if name not in ("tokenizer", "assistant_tokenizer")}

    def generate_batch(self, *inputs: Any, **options: Any) -> Any:
        raise UsageError(
            "continuous batching needs transformers' paged attention, which the graph doesn't have",
            hint="pad the prompts on the left and call generate()",
        )

    def _prepare_cache_for_generation(  # type: ignore[override]  # of several releases
        self, generation_config: GenerationConfig, model_kwargs: dict[str, Any], *others: Any, **more: Any
    ) -> None:
        if model_kwargs.get("past_key_values") is None and generation_config.use_cache is not False:
            model_kwargs["past_key_values"] = self.new_cache()

    def _prepare_generated_length(self, generation_config: GenerationConfig, *others: Any, **more: Any) -> GenerationConfig:
        """transformers goes on beyond the context and warns; a reply ends there instead."""
        loops: Any = super()
        prepared: GenerationConfig = loops._prepare_generated_length(generation_config, *others, **more)
        manifest = self.model.bundle.manifest
        if prepared.max_length is not None and prepared.max_length > manifest.context_length:
            logger.warning(
                "generation ends after %d tokens, prompt included: %s",
                manifest.context_length,
                "the model's context" if manifest.cache.length is None else "what the bundle reserves",
            )
            prepared.max_length = manifest.context_length
        return prepared

    @classmethod
    def can_generate(cls) -> bool:
        return True

    @classmethod
    def is_remote_code(cls) -> bool:
        return False

    def get_experts_implementation(self) -> dict[str, str]:
        """Of a model with experts; this one has none."""
        return {}
