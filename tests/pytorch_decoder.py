"""transformers' own model as a Decoder: what the adapters of bundles are held to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psutil
import torch
from transformers import DynamicCache, YoutuForCausalLM

from youtu_onnx.core.errors import ResourceError
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.own_config import own_config
from youtu_onnx.runtimes.decoder import check_ids, check_rewind, steps


class PyTorchDecoder:
    """The whole model in memory, decoding through transformers' ``DynamicCache``.

    Needs four bytes per parameter: for small models. Computed in float32, whatever dtype the checkpoint has.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        architecture = checkpoint.architecture
        _refuse_a_model_that_does_not_fit(architecture)
        with torch.device("meta"):
            self._model = YoutuForCausalLM(own_config(checkpoint))
        weights = {name: checkpoint.tensor(name).float() for name in checkpoint.tensors}
        if architecture.tie_word_embeddings:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        # Not from_pretrained: transformers 5.23 sets the embedding's row of pad_token_id to zero after loading it, which
        # with tied embeddings changes that token's logit. The checkpoint's own numbers are the reference.
        self._model.load_state_dict(weights, assign=True)
        self._model.model.rotary_emb = type(self._model.model.rotary_emb)(self._model.config)  # its buffers are in no checkpoint
        self._model.eval()
        self.vocab_size = architecture.vocab_size
        self.context_length = architecture.max_position_embeddings
        self.reset()

    @property
    def length(self) -> int:
        return self._cache.get_seq_length()

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        """Append tokens; logits ``[V]`` after the last of them."""
        ids = self._checked(ids)
        for part in steps(ids):
            logits = self._run(part, logits_to_keep=1)
        return logits[0]

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        """Append tokens; logits ``[S, V]``, one row after each."""
        return self._run(self._checked(ids), logits_to_keep=0)

    def rewind(self, count: int) -> None:
        check_rewind(count, self.length)
        if count == self.length:
            self.reset()
        elif count:
            self._cache.crop(-count)

    def reset(self) -> None:
        self._cache = DynamicCache()

    def close(self) -> None:
        self._model = None
        self.reset()

    def _checked(self, ids: Sequence[int]) -> list[int]:
        return check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)

    def _run(self, ids: Sequence[int], *, logits_to_keep: int) -> np.ndarray:
        with torch.inference_mode():
            output = self._model(torch.tensor([ids]), past_key_values=self._cache, use_cache=True, logits_to_keep=logits_to_keep)
            return output.logits[0].numpy()


def _refuse_a_model_that_does_not_fit(architecture: Architecture) -> None:
    needed, available = 4 * architecture.parameters, psutil.virtual_memory().available
    if needed > available:
        raise ResourceError(
            f"the whole model in float32 takes {needed / 2**30:.1f} GiB; {available / 2**30:.1f} GiB are free",
            hint="close other programs; youtu-onnx verify needs the memory of one layer only",
        )
