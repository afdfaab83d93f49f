"""The same model in other numbers: factors between what makes an input and what is multiplied with it.

Dividing each channel of an input by a factor and multiplying the columns behind it by the same changes nothing that the model
computes, but everything about what is lost when either is rounded. The division is in the weights before: the gain of a norm, or
rows of a matrix. Which factors are good is for others to say: they depend on how matrices and inputs are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import ChooseFactors

if TYPE_CHECKING:
    from torch import Tensor

RANGE = 64.0
"""A factor is within this of 1, either way."""


@dataclass(frozen=True)
class Source:
    """What makes an input, by names in a layer and without ``.weight``.

    Attributes:
        tensor: whose rows are divided.
        readers: matrices that are multiplied with the input; of those a layer has.
        beside: more that are, whose weights nobody rounds.
        rows: of factors ``[K]``, what each row of the tensor is divided by, where that isn't the same.
    """

    tensor: str
    readers: tuple[str, ...]
    beside: tuple[str, ...] = ()
    rows: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Rescaled:
    """Implements :class:`youtu_onnx.families.reference.Weights`.

    Attributes:
        divided: by name, what a tensor's rows are divided by.
        multiplied: by name, what a matrix's columns are multiplied by.
    """

    checkpoint: Checkpoint
    divided: Mapping[str, Tensor] = field(default_factory=dict)
    multiplied: Mapping[str, Tensor] = field(default_factory=dict)

    def tensor(self, name: str) -> Tensor:
        """float32 where it has a factor."""
        found = self.checkpoint.tensor(name)
        if name in self.multiplied:
            found = found.float() * self.multiplied[name]
        if name in self.divided:
            factors = self.divided[name]
            found = found.float() / (factors if found.ndim == 1 else factors[:, None])
        return found

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        touched = name in self.multiplied or name in self.divided
        return self.tensor(name)[start:stop] if touched else self.checkpoint.rows(name, start, stop)


def rescaled(
    checkpoint: Checkpoint, sources: Sequence[Source], moments: Iterable[Mapping[str, Tensor]], choose: ChooseFactors
) -> Rescaled:
    """Implements :meth:`youtu_onnx.families.reference.Reference.rescaled`; ``moments``: of each layer, as
    :meth:`youtu_onnx.families.reference.Reference.second_moments` gives them. The head's input has no factors."""
    divided: dict[str, Tensor] = {}
    multiplied: dict[str, Tensor] = {}
    for index, known in enumerate(moments):
        prefix = f"model.layers.{index}."
        for source in sources:
            readers = [name for one in source.readers if (name := f"{prefix}{one}.weight") in known]
            if not readers:
                continue
            factors = choose({name: checkpoint.tensor(name).float() for name in readers}, known[readers[0]])
            factors = factors.clamp(1 / RANGE, RANGE)
            divided[f"{prefix}{source.tensor}.weight"] = factors if source.rows is None else source.rows(factors)
            multiplied |= dict.fromkeys([*readers, *(f"{prefix}{one}.weight" for one in source.beside)], factors)
    return Rescaled(checkpoint, divided, multiplied)
