"""``ORTYoutuForCausalLM``: a bundle on ONNX Runtime as a model that transformers' own ``generate()`` drives.

Greedy, sampling, beams, logits processors, stopping criteria, streamers and assisted generation are transformers' code
(``GenerationMixin``); this module answers its calls with a graph. Tensors that come in and go out are torch's; the cache
(:class:`youtu_onnx.runtimes.huggingface.cache.OrtCache`) and the weights are ONNX Runtime's. Logits are float32 whatever the
bundle computes in.

Shapes: B batch, S new tokens, P past tokens, T = P + S, K kept positions, V vocabulary.
"""

from __future__ import annotations

import itertools
import shutil
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from transformers import GenerationConfig, PretrainedConfig
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from youtu_onnx.core.bundle import Bundle, Staging
from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.core.hub import locate_bundle
from youtu_onnx.runtimes.cache_use import droppable
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.runtimes.huggingface.base import OptimizedModel
from youtu_onnx.runtimes.huggingface.cache import OrtCache
from youtu_onnx.runtimes.huggingface.config import config_of, generation_config_of
from youtu_onnx.runtimes.huggingface.generation import BundleGeneration
from youtu_onnx.runtimes.huggingface.inputs import arrays
from youtu_onnx.runtimes.huggingface.refusals import own_cache, refuse
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.providers.providers import variant_for

# The text-generation pipeline compares class names with this table and calls others unsupported, though they work.
MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.setdefault("ort-youtu", "ORTYoutuForCausalLM")


class ORTYoutuForCausalLM(OptimizedModel, BundleGeneration):  # type: ignore[misc]  # Optimum may not be there
    """A bundle with transformers' interface. Serves several ``generate()`` calls at once; each has a cache of its own.

    Attributes:
        model: the graph in its session.
        config: the architecture as transformers' ``YoutuConfig`` (a plain ``PretrainedConfig`` in releases without Youtu).
        generation_config: the bundle's, which ``generate()`` starts from.
        device: where tensors come in and go out. What computes is ``model.provider``, chosen in :meth:`from_pretrained`.
        dtype: of the logits.
    """

    main_input_name = "input_ids"
    base_model_prefix = "model"
    input_modalities = ("text",)
    framework = "pt"
    dtype = torch.float32

    def __init__(
        self, model: OrtModel, config: PretrainedConfig | None = None, generation_config: GenerationConfig | None = None
    ) -> None:
        """Of an opened bundle; None takes the bundle's own configurations."""
        self.model = model
        self.preprocessors: list[Any] = []
        self.config = config_of(model.bundle) if config is None else config
        own = generation_config_of(model.bundle, self.config) if generation_config is None else generation_config
        self.generation_config = own
        self.device = torch.device("cpu")
        self._is_stateful = not droppable(model.bundle.manifest.cache)  # assisted generation crops the cache

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        *,
        provider: str | None = None,
        threads: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        config: PretrainedConfig | None = None,
        generation_config: GenerationConfig | None = None,
        **others: Any,
    ) -> ORTYoutuForCausalLM:
        """Open a bundle.

        Args:
            model_id: the bundle's folder, or a hub id whose repository is a bundle.
            provider: ``cpu``, ``cuda``, …; None takes the one that the bundle was exported for.
            threads: of the CPU provider; None takes one per physical core.
            revision, local_files_only: of a hub id.

        Raises:
            UsageError: an option that has no meaning for a bundle, unknown provider.
            BundleError: no bundle there, or a damaged one.
            ProviderError: the provider isn't installed or can't start.
            ResourceError: too little memory.
        """
        others = {name: value for name, value in others.items() if value not in (None, False)}
        if others.pop("export", False):
            raise UsageError(
                "a checkpoint is exported before it is opened, not by from_pretrained",
                hint=f"youtu-onnx export --model {model_id} --output BUNDLE, then from_pretrained(BUNDLE)",
            )
        if others:
            raise UsageError(
                f"{', '.join(sorted(others))}: no such option of a bundle; its precision was chosen by export, "
                "and provider= says where it runs",
                hint="leave it away",
            )
        bundle = Bundle.open(locate_bundle(str(model_id), revision, local_files_only), target=variant_for(provider))
        return cls(OrtModel(bundle, provider, threads), config, generation_config)

    # ---- one step

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: OrtCache | None = None,
        inputs_embeds: None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        cache_position: torch.Tensor | None = None,
    ) -> CausalLMOutputWithPast | tuple[torch.Tensor, ...]:
        """Logits ``[B, K, V]`` float32, and the cache with the new tokens in it.

        Long inputs run in steps of 512 tokens per sequence, so that no step needs the memory of the whole prompt.

        Args:
            input_ids: ``[B, S]``.
            attention_mask: ``[B, T]``, zero where a token is padding; None: nothing is.
            position_ids: ``[B, S]`` or ``[1, S]``; None counts the mask's ones.
            past_key_values: what a step before returned. It is extended in place, as transformers' caches are.
            labels: ``[B, S]``, -100 where a token doesn't count: ``loss`` is the mean of what the next tokens cost, in nats.
            use_cache: whether to return the cache; None as the configuration says.
            logits_to_keep: of how many last positions, or of which ones; 0 for all.
            cache_position: what older releases of transformers pass beside the cache, and the cache says itself.

        Raises:
            UsageError: shapes that don't fit, ids outside the vocabulary, more tokens than the context has room for, or an
                output that the graph doesn't have.
            ResourceError: out of memory. The cache is as it was.
        """
        asked = {
            "inputs_embeds": inputs_embeds,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
        }
        refuse(name for name, value in asked.items() if value is not None and value is not False)
        cache = self.new_cache() if past_key_values is None else own_cache(past_key_values)
        ids, mask, positions = arrays(input_ids, attention_mask, position_ids, cache.get_seq_length(), self.model.bundle.manifest)
        everything = labels is not None or not isinstance(logits_to_keep, int) or logits_to_keep == 0
        kept = ids.shape[1] if everything else min(logits_to_keep, ids.shape[1])
        device = self.device if input_ids is None else input_ids.device
        logits = torch.from_numpy(self._run(ids, mask, positions, cache, kept)).to(device)
        loss = None if labels is None else _loss(logits, labels)
        if labels is not None and isinstance(logits_to_keep, int):
            logits = logits[:, -logits_to_keep:]  # all for 0
        elif not isinstance(logits_to_keep, int):
            logits = logits[:, logits_to_keep]
        cached = past_key_values is not None or (self.config.use_cache if use_cache is None else use_cache)
        made = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=cache if cached else None)
        return made.to_tuple() if return_dict is False else made

    def _run(self, ids: np.ndarray, mask: np.ndarray, positions: np.ndarray, cache: OrtCache, kept: int) -> np.ndarray:
        """Logits ``[B, kept, V]`` of the last positions; those of others are not computed where the graph can leave them."""
        before, (batch, new) = cache.get_seq_length(), ids.shape
        # One row comes with the step that it ends. Several are a step of their own, after those whose rows nobody wants.
        silent = new - kept if kept > 1 else 0
        cuts = sorted({*range(0, silent, PREFILL_CHUNK), *range(silent, new, PREFILL_CHUNK), new})
        rows, restore = [], cache.restorer()
        try:
            for start, end in itertools.pairwise(cuts):
                last_only = kept == 1 or start < silent
                logits, binding = self.model.step(
                    ids[:, start:end],
                    mask[:, : before + end],
                    positions[:, start:end],
                    partial(cache.bind, batch=batch, count=end - start),
                    last_only=last_only,
                )
                cache.commit(binding, end - start)
                if end == new or (kept > 1 and start >= silent):
                    rows.append(logits)
        except YoutuOnnxError:
            restore()
            raise
        return rows[0] if len(rows) == 1 else np.concatenate(rows, 1)

    # ---- what programs ask of a model

    @property
    def name_or_path(self) -> str:
        return str(self.model.bundle.path)

    def to(
        self, device: torch.device | torch.dtype | str | int | None = None, dtype: torch.dtype | None = None
    ) -> ORTYoutuForCausalLM:
        """Say where tensors come in and go out.

        Raises:
            UsageError: a device that is not the provider's, which nothing would be computed on; another dtype.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if dtype not in (None, self.dtype):
            raise UsageError(f"a bundle can't be turned into {dtype}", hint="export one with --precision")
        wanted = self.device if device is None else torch.device(device)
        if wanted.type not in ("cpu", self.model.device):
            raise UsageError(
                f"this bundle runs on provider {self.model.provider.name}; to({wanted}) would not move it",
                hint="open it with from_pretrained(…, provider=…); in a pipeline pass device=-1",
            )
        self.device = wanted
        return self

    def eval(self) -> ORTYoutuForCausalLM:
        return self

    def train(self, mode: bool = True) -> ORTYoutuForCausalLM:
        if mode:
            raise UsageError("a bundle can't be trained", hint="train the PyTorch checkpoint, and export it again")
        return self

    def close(self) -> None:
        """Free the session; closing twice does no harm."""
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **others: Any) -> None:
        """Copy the bundle, whole or not at all.

        Raises:
            UsageError: something is in the way, or an option that has no meaning for a bundle.
        """
        if push_to_hub or any(value not in (None, False) for value in others.values()):
            raise UsageError(
                "save_pretrained copies a bundle as it is and knows no options",
                hint=f"to upload it: hf upload YOUR/REPOSITORY {self.model.bundle.path}",
            )
        self._save_pretrained(save_directory)

    def _save_pretrained(self, save_directory: str | Path) -> None:
        bundle = self.model.bundle
        with Staging(Path(save_directory)) as staging:
            for name in bundle.manifest.files:
                shutil.copyfile(bundle.file(name), staging.folder / name)
            staging.publish(bundle.manifest)


def _loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy of each token given those before it, in nats."""
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten().to(logits.device))
