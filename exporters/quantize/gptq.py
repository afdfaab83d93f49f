"""GPTQ: codes chosen one column after the other, the numbers that are still open making up for each one's error.

Frantar et al. 2022 (arXiv 2210.17323), after Optimal Brain Surgeon. With M the second moments of the inputs, a row w with codes
for w' errs in what comes out by ``(w - w') M (w - w')ᵀ``. If one number is off by e, that is least where the others move by
``-e · (M⁻¹)_qj / (M⁻¹)_qq``, M restricted to the numbers that are still open. With U the upper Cholesky factor of M⁻¹, row q of
U is just that, ``U_qj / U_qq``, for all q at once.

Where matrices before this one are rounded already, its inputs are y and not x as they were, and ``w x`` is what should come out:
the row that gives that best on y is ``w + w D M⁻¹``, with D the mean of ``(x - y) yᵀ`` (Li et al. 2025, arXiv 2504.02692, whose
term is this, taken column by column). D is known from some thousand tokens, so only a part of it is made up for.

Blocks take turns as wholes, the one with the largest inputs first, and within a block columns, too: what is rounded late has
fewest others left to make up for it. A block's scales and zero points are chosen when its turn comes, of its numbers as they are
by then. So codes lie where they belong, and the graph needs no index of groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from youtu_onnx.core.recipe import Blockwise
from youtu_onnx.exporters.quantize.inverse_factor import inverse_factor
from youtu_onnx.exporters.quantize.quantized import Quantized
from youtu_onnx.exporters.quantize.quantizer import InputStatistics, RowsOf
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest


@dataclass(frozen=True)
class Gptq:
    """A :class:`~youtu_onnx.exporters.quantize.quantizer.Quantizer` that goes by statistics of the inputs. Without their
    products, as of a table that is looked up and multiplied with nothing, nothing can be made up for, and it rounds as ``ranges``
    does.

    Attributes:
        damping: added to M's diagonal, times its mean: inputs that calibration hardly saw get something to lean on.
        shrinkage: how much of each product of two inputs is not believed, for it is known from some thousand tokens (Ledoit and
            Wolf's way to estimate covariances). Mean KL of a language model of 177 million parameters after 8,192 tokens: 0.0559
            with none, 0.0531 with a tenth.
        correction: how much of what earlier rounding changed in the inputs is made up for. The same model after 8,192 tokens:
            0.0550 with none, 0.0466 with a quarter; after 5,632 of another text 0.069 with a quarter and 0.108 with half.
        ranges: chooses each block's scale and zero point.
    """

    damping: float = 0.01
    shrinkage: float = 0.1
    correction: float = 0.25
    ranges: RoundToNearest = field(default_factory=RoundToNearest)

    def begin(self, weight: Tensor, storage: Blockwise, scale_dtype: torch.dtype, inputs: InputStatistics | None) -> RowsOf:
        """
        Raises:
            ValueError: statistics of another number of inputs, or with NaN or infinity in them.
        """
        if inputs is None or inputs.second_moments is None:
            return self.ranges.begin(weight, storage, scale_dtype, inputs)
        moments, columns = inputs.second_moments, weight.shape[1]
        if moments.shape != (columns, columns) or not torch.isfinite(moments).all():
            raise ValueError(f"second moments of the shape {tuple(moments.shape)} for {columns} inputs, or not finite")
        plan = _Plan.of(inputs, storage.block_size, self)
        return lambda start, stop: self._rows(weight[start:stop], storage, scale_dtype, plan)

    def _rows(self, weight: Tensor, storage: Blockwise, scale_dtype: torch.dtype, plan: _Plan) -> Quantized:
        size, top, order, factor = storage.block_size, 2**storage.bits - 1, plan.order, plan.factor
        padded = torch.nn.functional.pad(weight.to(torch.float32), (0, len(order) - weight.shape[1]))
        open_ = padded[:, order]  # numbers as they are by now
        if plan.correction is not None:
            open_ = torch.addmm(open_, open_, plan.correction)
        codes = torch.empty(len(weight), len(order), dtype=torch.uint8)
        groups = len(order) // size
        scales = torch.empty(len(weight), groups, dtype=scale_dtype)
        zeros = torch.empty(len(weight), groups, dtype=torch.uint8)
        for start in range(0, len(order), size):
            block, here = open_[:, start : start + size], slice(start, start + size)
            group = int(order[start]) // size
            sizes = InputStatistics(plan.sizes[here])
            ranged = self.ranges.begin(block, storage, scale_dtype, sizes)(0, len(block))
            middle = torch.full((len(block), 1), 2 ** (storage.bits - 1), dtype=torch.uint8)
            scales[:, group : group + 1] = ranged.scales
            zeros[:, group : group + 1] = middle if ranged.zero_points is None else ranged.zero_points
            chosen, errors = _round_in_turn(
                block, ranged.scales.float(), zeros[:, group : group + 1].float(), factor[here, here], top
            )
            codes[:, order[here]] = chosen
            open_[:, start + size :] -= errors @ factor[here, start + size :]
        return Quantized(codes.view(len(weight), groups, size), scales, None if storage.symmetric else zeros, storage.bits)


@dataclass(frozen=True)
class _Plan:
    """What all rows of a matrix share.

    Attributes:
        order: of the columns, padded to whole blocks, in which they are rounded.
        sizes: mean squares of the inputs, in that order.
        factor: U for that order.
        correction: what of ``D M⁻¹`` is taken, in that order; None: inputs are those of the model that isn't rounded.
    """

    order: Tensor
    sizes: Tensor
    factor: Tensor
    correction: Tensor | None

    @classmethod
    def of(cls, inputs: InputStatistics, size: int, how: Gptq) -> _Plan:
        moments, drift = inputs.second_moments, inputs.drift
        assert moments is not None
        order = _order(moments, size)
        sizes = torch.nn.functional.pad(moments.diagonal().float(), (0, len(order) - len(moments)))
        factor = inverse_factor(_damped(moments, order.flip(0), how.damping, how.shrinkage))
        if drift is None or not how.correction:
            return cls(order, sizes[order], factor, None)
        return cls(order, sizes[order], factor, _in_order(drift, order).mul_(how.correction) @ factor.T @ factor)


def _round_in_turn(block: Tensor, scales: Tensor, zeros: Tensor, factor: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Codes ``[R,B]`` of a block's numbers, each chosen when those before it have been made up for; and the errors, each over its
    diagonal element of ``factor`` ``[B,B]``, which is what later blocks make up for."""
    numbers, codes, errors = block.clone(), torch.empty(block.shape, dtype=torch.uint8), torch.empty_like(block)
    for column in range(block.shape[1]):
        wanted = numbers[:, column : column + 1]
        code = torch.round(wanted / scales).add_(zeros).clamp_(0, top)
        error = (wanted - (code - zeros) * scales) / factor[column, column]
        codes[:, column : column + 1] = code.to(torch.uint8)
        errors[:, column : column + 1] = error
        numbers[:, column + 1 :] -= error * factor[column, column + 1 :]
    return codes, errors


def _order(moments: Tensor, size: int) -> Tensor:
    """Columns, padded to whole blocks, in the order in which they are rounded."""
    sizes = torch.nn.functional.pad(moments.diagonal(), (0, -len(moments) % size)).view(-1, size)
    blocks = torch.argsort(sizes.mean(1), descending=True, stable=True)
    within = torch.argsort(sizes, dim=1, descending=True, stable=True)
    return (within[blocks] + blocks[:, None] * size).flatten()


def _damped(moments: Tensor, order: Tensor, damping: float, shrinkage: float) -> Tensor:
    """M as it is believed, float64, in this order. Inputs that are always 0, padding among them, are alone: nothing makes up for
    them, and they for nothing."""
    in_order = _in_order(moments, order)  # in float32: it may have gigabytes
    sizes = in_order.diagonal().double()
    whole = in_order.double().mul_(1 - shrinkage)
    dead = sizes <= 0
    mean = sizes[~dead].mean() if not dead.all() else torch.ones((), dtype=torch.float64)
    whole.diagonal().copy_(sizes + torch.where(dead, mean, damping * mean))
    return whole


def _in_order(products: Tensor, order: Tensor) -> Tensor:
    """Products of two inputs ``[K,K]``, rows and columns in this order, zeros for padding; a copy."""
    padding = len(order) - len(products)
    whole = torch.nn.functional.pad(products, (0, padding, 0, padding)) if padding else products
    return whole[order[:, None], order]
