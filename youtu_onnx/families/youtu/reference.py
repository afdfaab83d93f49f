"""The PyTorch reference: transformers' own Youtu layers, sharing no line with the graphs that this project writes.

Its configuration is made by transformers of the checkpoint's own ``config.json``, and not of what this project read in it: a
field that :class:`~youtu_onnx.families.youtu.architecture.Architecture` takes for something else shows as a difference.

Everything is computed in float32, whatever dtype the checkpoint has. torch and transformers are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Floats, Weights
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.config_agreement import misreadings, other_numbers
from youtu_onnx.families.youtu.own_config import own_config, what_transformers_says
from youtu_onnx.families.youtu.twin import Twin
from youtu_onnx.families.youtu.twin_layer import TwinNumbers
from youtu_onnx.graphs.stored import StoredGraph

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import YoutuConfig
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer

    from youtu_onnx.families.youtu.graph import rope
else:
    rope = Deferred("youtu_onnx.families.youtu.graph.rope", "the PyTorch reference", extra="export")

_HEAD_CHUNK = 32 * 2**20
"""Bytes of float32 lm_head rows that are held at a time."""


class YoutuReference:
    """Implements :class:`youtu_onnx.families.reference.Reference`."""

    def misreadings(self, checkpoint: Checkpoint) -> list[str]:
        """Fields, and then the numbers that are made of them."""
        _need_torch()
        architecture, config = cast(Architecture, checkpoint.architecture), own_config(checkpoint)
        theirs = _numbers(checkpoint, config)
        return misreadings(architecture, config) or other_numbers(
            softmax_scales=(architecture.softmax_scale, theirs.softmax_scale),
            rotation_scales=(rope.attention_scaling(architecture), theirs.rotation_scale),
            frequencies=(rope.inverse_frequencies(architecture).numpy(), theirs.inverse_frequencies),
        )

    def twin(self, stored: StoredGraph, cache: CacheLayout, checkpoint: Checkpoint) -> Twin:
        _need_torch()
        return Twin(stored, cache, checkpoint, _numbers(checkpoint, own_config(checkpoint)))

    def logits(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        keep: Sequence[slice] | None = None,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> list[Floats]:
        _need_torch()
        import torch

        config, used, report = own_config(checkpoint), weights or checkpoint, on_bytes or _nobody
        with torch.inference_mode():
            hidden = _states(checkpoint, config, used, sequences, report)
            kept = [slice(None)] * len(hidden) if keep is None else keep
            states = [rows[part] for rows, part in zip(hidden, kept, strict=True)]  # each [kept, hidden_size]
            logits = _head(checkpoint, config, used, torch.cat(states), report)
            return [part.numpy() for part in torch.split(logits, [len(rows) for rows in states])]

    def logits_in_pieces(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        rows: int,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Floats]:
        _need_torch()
        import torch

        config, used = own_config(checkpoint), weights or checkpoint
        with torch.inference_mode():
            hidden = _states(checkpoint, config, used, sequences, on_bytes or _nobody)
        for states in hidden:
            for piece in torch.split(states, rows):
                with torch.inference_mode():  # not while whoever asked has its turn
                    logits = _head(checkpoint, config, used, piece, _nobody)
                yield logits.numpy()


YOUTU_REFERENCE = YoutuReference()


def _numbers(checkpoint: Checkpoint, config: YoutuConfig) -> TwinNumbers:
    """What transformers makes of a configuration."""
    import torch

    rotary = _rotary(checkpoint, config)
    return TwinNumbers(
        softmax_scale=float(_empty_layer(checkpoint, config).self_attn.scaling),
        inverse_frequencies=rotary.inv_freq.to(torch.float32).numpy(),
        rotation_scale=float(rotary.attention_scaling),
        interleaved=bool(config.rope_interleave),
    )


def _empty_layer(checkpoint: Checkpoint, config: YoutuConfig) -> YoutuDecoderLayer:
    """One decoder layer without weights. It serves all layers in turn: without a cache its index means nothing."""
    import torch
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer

    with what_transformers_says(checkpoint), torch.device("meta"):
        return YoutuDecoderLayer(config, layer_idx=0).eval()


def _states(
    checkpoint: Checkpoint,
    config: YoutuConfig,
    weights: Weights,
    sequences: Sequence[Sequence[int]],
    report: Callable[[int], None],
) -> list[Tensor]:
    """What the last layer makes of each sequence, ``[S, hidden_size]``."""
    import torch

    architecture = checkpoint.architecture
    _refuse_ids_outside(architecture.vocab_size, sequences)
    hidden = _embed(weights, sequences)
    report(checkpoint.tensors["model.embed_tokens.weight"].nbytes)
    # A fresh module for each: under dynamic RoPE it remembers the longest sequence that it saw.
    angles = [_rotary(checkpoint, config)(states, torch.arange(states.shape[1])[None]) for states in hidden]
    layer = _empty_layer(checkpoint, config)
    for index in range(architecture.num_hidden_layers):
        prefix = f"model.layers.{index}."
        names = [name for name in checkpoint.tensors if name.startswith(prefix)]
        layer.load_state_dict({name.removeprefix(prefix): weights.tensor(name).float() for name in names}, assign=True)
        hidden = [
            layer(states, attention_mask=None, position_embeddings=pair) for states, pair in zip(hidden, angles, strict=True)
        ]
        report(sum(checkpoint.tensors[name].nbytes for name in names))
    return [states[0] for states in hidden]


def _nobody(count: int) -> None:
    """Is told how many bytes of weights were used."""


def _embed(weights: Weights, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """Embeddings ``[1, S, hidden_size]`` of each sequence; only the rows that occur are read."""
    import torch

    tokens = sorted({token for ids in sequences for token in ids})
    rows = {token: weights.rows("model.embed_tokens.weight", token, token + 1)[0].float() for token in tokens}
    return [torch.stack([rows[token] for token in ids])[None] for ids in sequences]


def _rotary(checkpoint: Checkpoint, config: YoutuConfig) -> Any:
    """Called with states ``[1, S, hidden_size]`` and positions ``[1, S]``: cos and sin, each ``[1, S, qk_rope_head_dim]``."""
    from transformers.models.youtu.modeling_youtu import YoutuRotaryEmbedding

    with what_transformers_says(checkpoint):
        return YoutuRotaryEmbedding(config)


def _head(checkpoint: Checkpoint, config: YoutuConfig, weights: Weights, states: Tensor, report: Callable[[int], None]) -> Tensor:
    """Final norm and lm_head: ``[N, hidden_size]`` → ``[N, vocab_size]``, the lm_head read a few rows at a time."""
    import torch
    from transformers.models.youtu.modeling_youtu import YoutuRMSNorm

    architecture = checkpoint.architecture
    norm = YoutuRMSNorm(architecture.hidden_size, eps=config.rms_norm_eps)
    norm.load_state_dict({"weight": weights.tensor("model.norm.weight").float()}, assign=True)
    report(checkpoint.tensors["model.norm.weight"].nbytes)
    states = norm(states)
    name = "model.embed_tokens.weight" if architecture.tie_word_embeddings else "lm_head.weight"
    vocab, stored = architecture.vocab_size, checkpoint.tensors[name].nbytes // architecture.vocab_size
    chunk = max(1, _HEAD_CHUNK // (4 * architecture.hidden_size))
    logits: Tensor = torch.empty(len(states), vocab)
    for start in range(0, vocab, chunk):
        stop = min(start + chunk, vocab)
        logits[:, start:stop] = states @ weights.rows(name, start, stop).float().T
        report((stop - start) * stored)
    return logits


def _refuse_ids_outside(vocab_size: int, sequences: Sequence[Sequence[int]]) -> None:
    for ids in sequences:
        if not len(ids):
            raise ValueError("a sequence is empty")
        if not 0 <= min(ids) <= max(ids) < vocab_size:
            raise ValueError(f"token ids {min(ids)} to {max(ids)} in a vocabulary of {vocab_size}")


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise CheckpointError("the PyTorch reference needs PyTorch", hint="pip install 'youtu-onnx[export]'")
