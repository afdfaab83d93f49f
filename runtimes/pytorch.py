"""The PyTorch reference: transformers' own Youtu layers, sharing no line with the graphs that this project writes.

:func:`reference_logits` runs a checkpoint layer by layer, so that a model of any size needs the memory of one layer.
:class:`PyTorchDecoder` holds the whole model and decodes through transformers' own cache.
Everything is computed in float32, whatever dtype the checkpoint has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from youtu_onnx.core.errors import CheckpointError, ResourceError
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.runtimes.decoder import check_ids, check_rewind, steps

if TYPE_CHECKING:
    import torch
    from transformers import YoutuConfig

_HEAD_CHUNK = 32 * 2**20
"""Bytes of float32 lm_head rows that are held at a time."""


def reference_logits(
    checkpoint: Checkpoint,
    sequences: Sequence[Sequence[int]],
    *,
    keep: Sequence[slice] | None = None,
    weights: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Logits of a checkpoint for whole sequences, each token attending to itself and those before it.

    Args:
        sequences: token ids; each starts at position 0.
        keep: which positions' logits to return, one slice per sequence; None keeps all.
        weights: applied to each tensor, or rows of it, before it is used as float32; the head's name is
            ``lm_head.weight``, tied or not. None takes the checkpoint's own numbers.
        on_bytes: told how many bytes of weights were used since its last call; they sum up to ``checkpoint.nbytes``,
            plus the lm_head where it is tied to the embedding.

    Returns:
        One float32 array ``[kept positions, vocab_size]`` per sequence.

    Memory: one layer in float32, the hidden states of all sequences, and the result.

    Raises:
        CheckpointError: the weights can't be read, or PyTorch or transformers is missing.
    """
    torch = _import_torch()
    architecture = checkpoint.architecture
    _refuse_ids_outside(architecture, sequences)
    config = _hf_config(architecture)
    report = on_bytes or (lambda _: None)
    prepare = weights or (lambda _, tensor: tensor)
    with torch.inference_mode():
        hidden = _embed(checkpoint, prepare, sequences)
        report(checkpoint.tensors["model.embed_tokens.weight"].nbytes)
        angles = _rotary(config, hidden)
        layer = _empty_layer(config)
        for index in range(architecture.num_hidden_layers):
            prefix = f"model.layers.{index}."
            names = [name for name in checkpoint.tensors if name.startswith(prefix)]
            layer.load_state_dict(
                {name.removeprefix(prefix): prepare(name, checkpoint.tensor(name)).float() for name in names}, assign=True
            )
            hidden = [
                layer(states, attention_mask=None, position_embeddings=pair) for states, pair in zip(hidden, angles, strict=True)
            ]
            report(sum(checkpoint.tensors[name].nbytes for name in names))
        kept = [slice(None)] * len(hidden) if keep is None else keep
        states = [rows[0, part] for rows, part in zip(hidden, kept, strict=True)]  # each [kept, hidden_size]
        logits = _head(checkpoint, config, prepare, torch.cat(states), report)
        return [part.numpy() for part in logits.split([len(rows) for rows in states])]


class PyTorchDecoder:
    """The whole model in memory, decoding through transformers' ``DynamicCache``.

    Needs four bytes per parameter: use it for small models, :func:`reference_logits` for any size.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        torch = _import_torch()
        from transformers import YoutuForCausalLM

        architecture = checkpoint.architecture
        _refuse_a_model_that_does_not_fit(architecture)
        with torch.device("meta"):
            self._model = YoutuForCausalLM(_hf_config(architecture))
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
        from transformers import DynamicCache

        self._cache = DynamicCache()

    def close(self) -> None:
        self._model = None
        self.reset()

    def _checked(self, ids: Sequence[int]) -> list[int]:
        return check_ids(ids, length=self.length, context_length=self.context_length, vocab_size=self.vocab_size)

    def _run(self, ids: Sequence[int], *, logits_to_keep: int) -> np.ndarray:
        torch = _import_torch()
        with torch.inference_mode():
            output = self._model(torch.tensor([ids]), past_key_values=self._cache, use_cache=True, logits_to_keep=logits_to_keep)
            return output.logits[0].numpy()


def _empty_layer(config: YoutuConfig) -> torch.nn.Module:
    """One decoder layer without weights. It serves all layers in turn: without a cache its index means nothing."""
    torch = _import_torch()
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer

    with torch.device("meta"):
        return YoutuDecoderLayer(config, layer_idx=0).eval()


def _embed(
    checkpoint: Checkpoint, prepare: Callable[[str, torch.Tensor], torch.Tensor], sequences: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """Embeddings ``[1, S, hidden_size]`` of each sequence; only the rows that occur are read."""
    torch = _import_torch()
    name = "model.embed_tokens.weight"
    rows = {
        token: prepare(name, checkpoint.rows(name, token, token + 1))[0].float()
        for token in {token for ids in sequences for token in ids}
    }
    return [torch.stack([rows[token] for token in ids])[None] for ids in sequences]


def _rotary(config: YoutuConfig, hidden: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """cos and sin, each ``[1, S, qk_rope_head_dim]``, of each sequence's positions.

    A fresh module per sequence: under dynamic RoPE it remembers the longest sequence that it saw.
    """
    torch = _import_torch()
    from transformers.models.youtu.modeling_youtu import YoutuRotaryEmbedding

    return [YoutuRotaryEmbedding(config)(states, torch.arange(states.shape[1])[None]) for states in hidden]


def _head(
    checkpoint: Checkpoint,
    config: YoutuConfig,
    prepare: Callable[[str, torch.Tensor], torch.Tensor],
    states: torch.Tensor,
    report: Callable[[int], None],
) -> torch.Tensor:
    """Final norm and lm_head: ``[N, hidden_size]`` → ``[N, vocab_size]``, the lm_head read a few rows at a time."""
    torch = _import_torch()
    from transformers.models.youtu.modeling_youtu import YoutuRMSNorm

    architecture = checkpoint.architecture
    norm = YoutuRMSNorm(architecture.hidden_size, eps=config.rms_norm_eps)
    norm.load_state_dict({"weight": checkpoint.tensor("model.norm.weight").float()}, assign=True)
    report(checkpoint.tensors["model.norm.weight"].nbytes)
    states = norm(states)
    name = "model.embed_tokens.weight" if architecture.tie_word_embeddings else "lm_head.weight"
    vocab, stored = architecture.vocab_size, checkpoint.tensors[name].nbytes // architecture.vocab_size
    chunk = max(1, _HEAD_CHUNK // (4 * architecture.hidden_size))
    logits = torch.empty(len(states), vocab)
    for start in range(0, vocab, chunk):
        stop = min(start + chunk, vocab)
        logits[:, start:stop] = states @ prepare("lm_head.weight", checkpoint.rows(name, start, stop)).float().T
        report((stop - start) * stored)
    return logits


def _hf_config(architecture: Architecture) -> YoutuConfig:
    _import_torch()
    try:
        from transformers import YoutuConfig
    except ImportError as error:
        raise CheckpointError(
            "the PyTorch reference needs transformers 5.1 or newer", hint="pip install 'youtu-onnx[export]'"
        ) from error
    return YoutuConfig(**architecture.to_hf_config(), attn_implementation="sdpa")


def _refuse_ids_outside(architecture: Architecture, sequences: Sequence[Sequence[int]]) -> None:
    for ids in sequences:
        if not len(ids):
            raise ValueError("a sequence is empty")
        if not 0 <= min(ids) <= max(ids) < architecture.vocab_size:
            raise ValueError(f"token ids {min(ids)} to {max(ids)} in a vocabulary of {architecture.vocab_size}")


def _refuse_a_model_that_does_not_fit(architecture: Architecture) -> None:
    import psutil

    needed, available = 4 * architecture.parameters, psutil.virtual_memory().available
    if needed > available:
        raise ResourceError(
            f"the whole model in float32 takes {needed / 2**30:.1f} GiB; {available / 2**30:.1f} GiB are free",
            hint="close other programs; youtu-onnx verify needs the memory of one layer only",
        )


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise CheckpointError("the PyTorch reference needs PyTorch", hint="pip install 'youtu-onnx[export]'") from error
    return torch
