"""What matrices are multiplied with when the model reads a text: a layer's statistics at a time, as the weights are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from youtu_onnx.exporters.quantize.quantizer import InputStatistics
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.parameter import Parameter

if TYPE_CHECKING:
    from torch import Tensor

DRAWN = 256
"""Token ids that are drawn where no text is given. A real language model of 177 million parameters, int4 in blocks of 64, has a
mean KL of 0.447 nats to itself where ranges are chosen without sizes, 0.211 with those of 128 or 256 ids drawn at random, 0.197
with 2,048, and 0.182 with those of 8,192 tokens of text: which inputs are large is hardly a matter of what is read."""


def drawn(vocab_size: int, positions: int) -> list[list[int]]:
    """Token ids at random, the same for every export: what a model reads where nobody gave a text."""
    ids = np.random.default_rng(0).integers(0, vocab_size, min(DRAWN, positions))
    return [ids.tolist()]


class Calibration:
    """The checkpoint's own weights read the text, a layer whenever its matrices' turn comes. Before and behind that layer nothing
    is kept: matrices have to be asked for in the model's order, which is that of the data file."""

    def __init__(self, checkpoint: Checkpoint, sequences: Sequence[Sequence[int]], *, sizes_only: bool = False) -> None:
        """``sequences``: token ids. ``sizes_only``: of inputs, for algorithms that don't ask for more."""
        self._checkpoint, self._sequences, self._sizes_only = checkpoint, sequences, sizes_only
        self._pieces: Iterator[Mapping[str, Tensor]] | None = None
        self._now: Mapping[str, Tensor] = {}
        self._gone: set[str] = set()

    @property
    def digest(self) -> str:
        """SHA-256 of what is read."""
        return hashlib.sha256(repr([list(map(int, one)) for one in self._sequences]).encode()).hexdigest()

    def inputs(self, parameter: Parameter) -> InputStatistics | None:
        """None of a matrix that is multiplied with nothing: a table that is looked up."""
        if self._pieces is None:
            reference = reference_of(self._checkpoint.family)
            self._pieces = reference.second_moments(self._checkpoint, self._sequences, diagonal=self._sizes_only)
        late = self._gone.intersection(parameter.tensors).difference(self._now)
        assert not late, f"{min(late)} is asked for behind its layer, and would be rounded without a word"
        while not (found := [self._now[name] for name in parameter.tensors if name in self._now]):
            if (piece := next(self._pieces, None)) is None:
                return None
            self._gone |= self._now.keys()
            self._now = piece
        return InputStatistics.of(found[0])
