"""What matrices are multiplied with when the model reads a text: a layer's statistics at a time, as the weights are written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from youtu_onnx.core.machine import give_back_memory
from youtu_onnx.exporters.placed_rows import placed_rows
from youtu_onnx.exporters.quantize.quantizer import InputStatistics
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Drifted, Weights
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.families.tied_head import HEAD
from youtu_onnx.graphs.parameter import Parameter

if TYPE_CHECKING:
    from torch import Tensor

DRAWN = 256
"""Token ids that are drawn where no text is given. A real language model of 177 million parameters, int4 in blocks of 64, has a
mean KL of 0.447 nats to itself where ranges are chosen without sizes, 0.211 with those of 128 or 256 ids drawn at random, 0.197
with 2,048, and 0.182 with those of 8,192 tokens of text: which inputs are large is hardly a matter of what is read."""
FLOOR = 0.5
"""Of the mean size of a matrix's inputs, what is added to each size where ids were drawn. An input that is small on ids at random
may be large on what a model is asked. Mean KL in nats, blocks of 64, of that language model and of two models of problems, of 3.1
and 5.4 million parameters: 0.258, 0.061 and 0.081 without; 0.252, 0.048 and 0.069 with a half; 0.274, 0.043 and 0.064 with 2."""


def drawn(vocab_size: int, positions: int) -> list[list[int]]:
    """Token ids at random, the same for every export: what a model reads where nobody gave a text."""
    ids = np.random.default_rng(0).integers(0, vocab_size, min(DRAWN, positions))
    return [ids.tolist()]


Detail = Literal["sizes", "moments", "drift"]
"""How much of inputs is measured: mean squares; products of two, too; what the rounding of earlier matrices changed in them."""


Measured = Callable[[], InputStatistics]


class Calibration:
    """A model reads the text, a layer whenever its matrices' turn comes. Before and behind that layer nothing is kept: matrices
    have to be asked for in the model's order, which is that of the data file."""

    def __init__(
        self, checkpoint: Checkpoint, sequences: Sequence[Sequence[int]], detail: Detail = "moments", *, floor: float = 0.0
    ) -> None:
        """
        Args:
            sequences: token ids.
            floor: of a matrix's inputs' mean size, so much is added to the size of each; for ``sizes`` alone.
        """
        assert not floor or detail == "sizes"
        self.checkpoint, self.sequences, self.detail, self.floor = checkpoint, sequences, detail, floor
        self._weights: Weights = checkpoint
        self._pieces: Iterator[Mapping[str, Measured]] | None = None
        self._now: Mapping[str, Measured] = {}
        self._gone: set[str] = set()
        self._rounded: dict[str, Tensor] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of what is read."""
        return hashlib.sha256(repr([list(map(int, one)) for one in self.sequences]).encode()).hexdigest()

    @property
    def drifts(self) -> bool:
        """Whether it has to be told what matrices were rounded to."""
        return self.detail == "drift"

    def read_with(self, weights: Weights) -> None:
        """Instead of the checkpoint's own; before anything is asked."""
        assert self._pieces is None
        self._weights = weights

    def inputs(self, parameter: Parameter) -> InputStatistics | None:
        """None of a matrix that is multiplied with nothing: a table that is looked up."""
        measured = self._measured(parameter)
        return None if measured is None else measured()

    def _measured(self, parameter: Parameter) -> Measured | None:
        """Read on until its turn comes; nothing is computed of what nobody asks for."""
        if self._pieces is None:
            self._pieces = self._read()
        late = self._gone.intersection(parameter.tensors).difference(self._now)
        assert not late, f"{min(late)} is asked for behind its layer, and would be rounded without a word"
        while not (found := [self._now[name] for name in parameter.tensors if name in self._now]):
            self._gone |= self._now.keys()
            self._now = {}  # before the next is made: products of 6,144 inputs have 0.3 GB
            if (piece := next(self._pieces, None)) is None:
                return None
            self._now = piece
            if HEAD in piece:
                give_back_memory()  # hidden states of the whole text are gone now, and the largest matrix is about to come
        return found[0]

    def rounded(self, parameter: Parameter, made: Callable[[], Tensor]) -> None:
        """What a matrix became, ``[N,K]``: those behind it are multiplied with something else then. Behind the head, which may
        have a gigabyte, there are none."""
        if self._measured(parameter) is None or HEAD in self._now:
            return
        whole = made()
        for rows in placed_rows(parameter, self.checkpoint):
            self._rounded[rows.tensor] = rows.without_factors(rows.back(whole), self._weights).contiguous()

    def _read(self) -> Iterator[Mapping[str, Measured]]:
        reference = reference_of(self.checkpoint.family)
        if self.drifts:
            pieces = reference.drifted_moments(self.checkpoint, self.sequences, self._rounded, weights=self._weights)
            for piece in pieces:
                yield {name: partial(_of_both, products) for name, products in piece.items()}
                del piece
        else:
            sizes = self.detail == "sizes"
            for found in reference.second_moments(self.checkpoint, self.sequences, diagonal=sizes, weights=self._weights):
                made = {name: InputStatistics.of(one + self.floor * one.mean() if sizes else one) for name, one in found.items()}
                yield {name: partial(_known, one) for name, one in made.items()}
                del found, made


def _of_both(products: Callable[[], Drifted]) -> InputStatistics:
    made = products()
    return InputStatistics(made.moments.diagonal(), *made)


def _known(inputs: InputStatistics) -> InputStatistics:
    return inputs
