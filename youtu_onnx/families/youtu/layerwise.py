"""transformers' own Youtu layers, one in memory at a time, over whole sequences.

Everything is computed in float32, whatever dtype the checkpoint has. torch and transformers are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Weights
from youtu_onnx.families.youtu.own_config import what_transformers_says

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import YoutuConfig
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer

_HEAD_CHUNK = 32 * 2**20
"""Bytes of float32 lm_head rows that are held at a time."""


def layers(
    checkpoint: Checkpoint,
    config: YoutuConfig,
    weights: Weights,
    sequences: Sequence[Sequence[int]],
    report: Callable[[int], None],
    watch: Callable[[YoutuDecoderLayer], None] | None = None,
) -> Iterator[tuple[str, list[Tensor]]]:
    """For each layer the prefix of its names, and what it makes of each sequence, ``[1, S, hidden_size]``. ``watch``: called once
    with the module that serves all layers in turn."""
    import torch

    architecture = checkpoint.architecture
    hidden = embedded(checkpoint, weights, sequences)
    report(checkpoint.tensors["model.embed_tokens.weight"].nbytes)
    # A fresh module for each: under dynamic RoPE it remembers the longest sequence that it saw.
    angles = [rotary(checkpoint, config)(states, torch.arange(states.shape[1])[None]) for states in hidden]
    layer = empty_layer(checkpoint, config)
    if watch is not None:
        watch(layer)
    for index in range(architecture.num_hidden_layers):
        prefix = f"model.layers.{index}."
        names = layer_names(checkpoint, prefix)
        layer.load_state_dict({name.removeprefix(prefix): weights.tensor(name).float() for name in names}, assign=True)
        hidden = [
            layer(states, attention_mask=None, position_embeddings=pair) for states, pair in zip(hidden, angles, strict=True)
        ]
        report(sum(checkpoint.tensors[name].nbytes for name in names))
        yield prefix, hidden


def last_states(
    checkpoint: Checkpoint,
    config: YoutuConfig,
    weights: Weights,
    sequences: Sequence[Sequence[int]],
    report: Callable[[int], None],
) -> list[Tensor]:
    """What the last layer makes of each sequence, ``[S, hidden_size]``."""
    hidden: list[Tensor] = []
    for _, hidden in layers(checkpoint, config, weights, sequences, report):  # noqa: B007 (the last one's are wanted)
        pass
    return [states[0] for states in hidden]


def head_logits(
    checkpoint: Checkpoint, config: YoutuConfig, weights: Weights, states: Tensor, report: Callable[[int], None]
) -> Tensor:
    """Final norm and lm_head: ``[N, hidden_size]`` → ``[N, vocab_size]``, the lm_head read a few rows at a time."""
    import torch

    architecture = checkpoint.architecture
    states = normed(checkpoint, config, weights, states)
    report(checkpoint.tensors["model.norm.weight"].nbytes)
    name = "model.embed_tokens.weight" if architecture.tie_word_embeddings else "lm_head.weight"
    vocab, stored = architecture.vocab_size, checkpoint.tensors[name].nbytes // architecture.vocab_size
    chunk = max(1, _HEAD_CHUNK // (4 * architecture.hidden_size))
    logits: Tensor = torch.empty(len(states), vocab)
    for start in range(0, vocab, chunk):
        stop = min(start + chunk, vocab)
        logits[:, start:stop] = states @ weights.rows(name, start, stop).float().T
        report((stop - start) * stored)
    return logits


def normed(checkpoint: Checkpoint, config: YoutuConfig, weights: Weights, states: Tensor) -> Tensor:
    """The final norm of states ``[N, hidden_size]``."""
    from transformers.models.youtu.modeling_youtu import YoutuRMSNorm

    norm = YoutuRMSNorm(checkpoint.architecture.hidden_size, eps=config.rms_norm_eps)
    norm.load_state_dict({"weight": weights.tensor("model.norm.weight").float()}, assign=True)
    normed: Tensor = norm(states)
    return normed


def empty_layer(checkpoint: Checkpoint, config: YoutuConfig) -> YoutuDecoderLayer:
    """One decoder layer without weights. It serves all layers in turn: without a cache its index means nothing."""
    import torch
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer

    with what_transformers_says(checkpoint), torch.device("meta"):
        return YoutuDecoderLayer(config, layer_idx=0).eval()


def rotary(checkpoint: Checkpoint, config: YoutuConfig) -> Any:
    """Called with states ``[1, S, hidden_size]`` and positions ``[1, S]``: cos and sin, each ``[1, S, qk_rope_head_dim]``."""
    from transformers.models.youtu.modeling_youtu import YoutuRotaryEmbedding

    with what_transformers_says(checkpoint):
        return YoutuRotaryEmbedding(config)


def layer_names(checkpoint: Checkpoint, prefix: str) -> list[str]:
    """Of all tensors of a layer."""
    return [name for name in checkpoint.tensors if name.startswith(prefix)]


def embedded(checkpoint: Checkpoint, weights: Weights, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """Embeddings ``[1, S, hidden_size]`` of each sequence; only the rows that occur are read.

    Raises:
        ValueError: an empty sequence, or an id beyond the vocabulary.
    """
    import torch

    _refuse_ids_outside(checkpoint.architecture.vocab_size, sequences)
    tokens = sorted({token for ids in sequences for token in ids})
    rows = {token: weights.rows("model.embed_tokens.weight", token, token + 1)[0].float() for token in tokens}
    return [torch.stack([rows[token] for token in ids])[None] for ids in sequences]


def _refuse_ids_outside(vocab_size: int, sequences: Sequence[Sequence[int]]) -> None:
    for ids in sequences:
        if not len(ids):
            raise ValueError("a sequence is empty")
        if not 0 <= min(ids) <= max(ids) < vocab_size:
            raise ValueError(f"token ids {min(ids)} to {max(ids)} in a vocabulary of {vocab_size}")


def need_torch() -> None:
    if find_spec("torch") is None:
        raise CheckpointError("the PyTorch reference needs PyTorch", hint="pip install 'youtu-onnx[export]'")


def nobody(count: int) -> None:
    """Is told how many bytes of weights were used."""
