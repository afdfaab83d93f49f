"""A reference's layers over whole sequences, one in memory at a time.

Everything is computed in float32, whatever dtype the checkpoint has. torch is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Floats, Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

_HEAD_CHUNK = 32 * 2**20
"""Bytes of float32 lm_head rows that are held at a time."""


class LayerParts(Protocol):
    """A reference's modules for one checkpoint."""

    def empty_layer(self) -> nn.Module:
        """One decoder layer without weights. It serves all layers in turn: without a cache its index means nothing."""

    def empty_norm(self) -> nn.Module:
        """The final norm, without its weight."""

    def turns(self, states: Tensor) -> Any:
        """What a layer takes to turn queries and keys of states ``[1, S, hidden_size]``, the first of which is at position 0."""

    def run(self, layer: Any, states: Tensor, turns: Any) -> Tensor:
        """``[1, S, hidden_size]`` through a layer, each token attending to what it may see of itself and those before it."""

    def attend(self, layer: Any, states: Tensor, turns: Any) -> None:
        """The attention of a layer alone, for whoever watches its parts: of states as :meth:`run` takes them."""


def layers(
    checkpoint: Checkpoint,
    parts: LayerParts,
    weights: Weights,
    sequences: Sequence[Sequence[int]],
    report: Callable[[int], None],
    watch: Callable[[Any], None] | None = None,
) -> Iterator[tuple[str, list[Tensor]]]:
    """For each layer the prefix of its names, and what it makes of each sequence, ``[1, S, hidden_size]``. ``watch``: called once
    with the module that serves all layers in turn."""
    hidden = embedded(checkpoint, weights, sequences)
    report(checkpoint.tensors["model.embed_tokens.weight"].nbytes)
    turns = [parts.turns(states) for states in hidden]
    layer = parts.empty_layer()
    if watch is not None:
        watch(layer)
    for index in range(checkpoint.architecture.num_hidden_layers):
        prefix = f"model.layers.{index}."
        names = layer_names(checkpoint, prefix)
        layer.load_state_dict({name.removeprefix(prefix): weights.tensor(name).float() for name in names}, assign=True)
        hidden = [parts.run(layer, states, one) for states, one in zip(hidden, turns, strict=True)]
        report(sum(checkpoint.tensors[name].nbytes for name in names))
        yield prefix, hidden


def last_states(
    checkpoint: Checkpoint,
    parts: LayerParts,
    weights: Weights,
    sequences: Sequence[Sequence[int]],
    report: Callable[[int], None],
) -> list[Tensor]:
    """What the last layer makes of each sequence, ``[S, hidden_size]``."""
    hidden: list[Tensor] = []
    for _, hidden in layers(checkpoint, parts, weights, sequences, report):  # noqa: B007 (the last one's are wanted)
        pass
    return [states[0] for states in hidden]


def logits(
    checkpoint: Checkpoint,
    parts: LayerParts,
    sequences: Sequence[Sequence[int]],
    keep: Sequence[slice] | None,
    weights: Weights,
    report: Callable[[int], None],
) -> list[Floats]:
    """Implements :meth:`youtu_onnx.families.reference.Reference.logits`; ``report`` is its ``on_bytes``."""
    import torch

    with torch.inference_mode():
        hidden = last_states(checkpoint, parts, weights, sequences, report)
        kept = [slice(None)] * len(hidden) if keep is None else keep
        states = [rows[part] for rows, part in zip(hidden, kept, strict=True)]  # each [kept, hidden_size]
        found = head_logits(checkpoint, parts, weights, torch.cat(states), report)
        return [part.numpy() for part in torch.split(found, [len(rows) for rows in states])]


def logits_in_pieces(
    checkpoint: Checkpoint,
    parts: LayerParts,
    sequences: Sequence[Sequence[int]],
    rows: int,
    weights: Weights,
    report: Callable[[int], None],
) -> Iterator[Floats]:
    """Implements :meth:`youtu_onnx.families.reference.Reference.logits_in_pieces`; ``report`` is its ``on_bytes``."""
    import torch

    with torch.inference_mode():
        hidden = last_states(checkpoint, parts, weights, sequences, report)
    for states in hidden:
        for piece in torch.split(states, rows):
            with torch.inference_mode():  # not while whoever asked has its turn
                found = head_logits(checkpoint, parts, weights, piece, nobody)
            yield found.numpy()


def head_logits(
    checkpoint: Checkpoint, parts: LayerParts, weights: Weights, states: Tensor, report: Callable[[int], None]
) -> Tensor:
    """Final norm and lm_head: ``[N, hidden_size]`` → ``[N, vocab_size]``, the lm_head read a few rows at a time."""
    import torch

    architecture = checkpoint.architecture
    states = normed(parts, weights, states)
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


def normed(parts: LayerParts, weights: Weights, states: Tensor) -> Tensor:
    """The final norm of states ``[N, hidden_size]``."""
    norm = parts.empty_norm()
    norm.load_state_dict({"weight": weights.tensor("model.norm.weight").float()}, assign=True)
    normed: Tensor = norm(states)
    return normed


def layer_names(checkpoint: Checkpoint, prefix: str) -> list[str]:
    """Of a layer's tensors."""
    return [name for name in checkpoint.tensors if name.startswith(prefix)]


def embedded(checkpoint: Checkpoint, weights: Weights, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
    """Embeddings ``[1, S, hidden_size]`` of each sequence; only the rows that occur are read."""
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
