"""What a model family is to verification: code of others that computes the model, and its weights read back from a bundle.

Modules with these can be imported where torch isn't installed; their functions can't be called there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.graphs.rounded import Rounded
from youtu_onnx.graphs.stored import StoredGraph

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]


ChooseFactors = Callable[[Mapping[str, "torch.Tensor"], "torch.Tensor"], "torch.Tensor"]
"""Matrices ``[N,K]`` that read one input, by name and as float32, and the second moments ``[K,K]`` of that input, or its mean
squares ``[K]`` → ``[K]``, above 0: what its channels are to be divided by."""


class Weights(Protocol):
    """A model's weights under the checkpoint's names; a :class:`~youtu_onnx.families.checkpoint.Checkpoint` is one."""

    def tensor(self, name: str) -> torch.Tensor: ...

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """``tensor(name)[start:stop]`` for the memory of those rows."""


class Drifted(NamedTuple):
    """What a matrix ``[N,K]`` is multiplied with in a model whose matrices before it are rounded: vectors ``y``, which are ``x``
    in the model that isn't.

    Attributes:
        moments: float32 ``[K,K]``, the mean of ``y yᵀ``.
        drift: float32 ``[K,K]``, the mean of ``(x - y) yᵀ``.
    """

    moments: torch.Tensor
    drift: torch.Tensor


@dataclass(frozen=True)
class Comparison:
    """Some rows of a tensor as a bundle has them, and as they should be.

    Attributes:
        name: the checkpoint's; of what is in no checkpoint, the bundle's, and what it is.
        first: the first of the rows.
        found: with all that the bundle's graph makes of them undone.
        wanted: float32, of ``found``'s shape.
    """

    name: str
    found: Rounded
    wanted: Floats
    first: int = 0


class Twin(Weights, Protocol):
    """The model that a bundle's data file holds, in the checkpoint's terms: PyTorch with these weights is what the bundle's graph
    must equal, but for its own arithmetic."""

    def comparisons(self) -> Iterator[Comparison]:
        """Everything that the bundle stores beside what it should be, a piece at a time, in the order of the model.

        Raises:
            BundleError: the data file doesn't hold what the graph says.
        """

    def heads_alone(self) -> Weights | None:
        """The checkpoint's weights, but for those that attention over a latent cache multiplies by as integers of its own; None
        where it has none."""


class Reference(Protocol):
    """PyTorch's side of one family."""

    def misreadings(self, checkpoint: Checkpoint) -> list[str]:
        """Every field of ``config.json`` that the family's architecture takes for something else than the reference does.

        Raises:
            CheckpointError: the reference makes no model of this config, or its packages are missing.
        """

    def logits(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        keep: Sequence[slice] | None = None,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> list[Floats]:
        """Logits of a checkpoint for whole sequences, each token attending to itself and those before it.

        Args:
            sequences: token ids; each starts at position 0.
            keep: which positions' logits to return, one slice per sequence; None keeps all.
            weights: to compute with instead of the checkpoint's own.
            on_bytes: told how many bytes of weights were used since its last call; they sum up to ``checkpoint.nbytes``, plus the
                lm_head where it is tied to the embedding.

        Returns:
            One float32 array ``[kept positions, vocab_size]`` per sequence.

        Memory: one layer in float32, the hidden states of all sequences, and the result.

        Raises:
            CheckpointError: the weights can't be read, the reference makes no model of them, or its packages are missing.
        """

    def logits_in_pieces(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        rows: int,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Floats]:
        """What :meth:`logits` gives, for texts whose logits don't fit into memory together.

        Args:
            rows: positions of a piece at most; a piece never reaches over the end of a sequence.
            on_bytes: of the embedding and the layers, all of which are read before the first piece.

        Yields:
            float32 ``[positions, vocab_size]``, in the order of the sequences.

        Memory: one layer in float32, the hidden states of all sequences, one piece, and some rows of the lm_head.

        Raises:
            As :meth:`logits`.
        """

    def second_moments(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        *,
        diagonal: bool = False,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        """What each matrix is multiplied with, while the model reads these sequences.

        Args:
            diagonal: the mean of ``x²``, ``[K]``, alone.
            weights: to read with instead of the checkpoint's own.
            on_bytes: as :meth:`logits` has it, but for the lm_head.

        Yields:
            For each layer in turn, and at last for the lm_head: by the checkpoint's name of a matrix ``[N,K]`` the mean of
            ``x xᵀ`` over all positions, float32 ``[K,K]``. Matrices that read the same have one tensor.

        Memory: one layer in float32, the hidden states of all sequences, and one layer's result.

        Raises:
            As :meth:`logits`.
        """

    def drifted_moments(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        rounded: MutableMapping[str, torch.Tensor],
        *,
        weights: Weights | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[Mapping[str, Callable[[], Drifted]]]:
        """What each matrix is multiplied with where those before it are rounded, beside what it is multiplied with where they
        aren't.

        Args:
            rounded: by the checkpoint's names, matrices that were rounded, float32: who asks for the next piece has put those of
                the last one there, or what of them was rounded; they are taken out.
            weights, on_bytes: as :meth:`second_moments` has them.

        Yields:
            What :meth:`second_moments` gives for matrices that read the same input, for one input of a layer after the other:
            computed where it is asked for, before the next piece is, once. That is half of the work, and nobody needs it of
            matrices that are rounded already.

        Memory: two layers in float32, the hidden states of all sequences four times, and the products of one input.

        Raises:
            As :meth:`logits`.
        """

    def rescaled(
        self,
        checkpoint: Checkpoint,
        sequences: Sequence[Sequence[int]],
        choose: ChooseFactors,
        *,
        diagonal: bool = False,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Weights:
        """The same model in other numbers: channels of inputs divided by factors, and the columns behind them multiplied.

        Args:
            choose: says which, for each input.
            diagonal, on_bytes: as :meth:`second_moments` has them.

        Memory: as :meth:`second_moments`, and some vectors of each layer.

        Raises:
            As :meth:`logits`.
        """

    def twin(self, stored: StoredGraph, cache: CacheLayout, checkpoint: Checkpoint, *, rescaled: bool = False) -> Twin:
        """
        Args:
            cache: of the bundle: what is kept of a token decides which factors its weights have.
            checkpoint: for what the bundle can't have, because it was moved into other weights.
            rescaled: whether the bundle may have been made of what :meth:`rescaled` gives.

        Memory: one layer in float32.
        """
