"""How each matrix of a bundle is stored, and by what its codes are found: by a quantizer, or in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.prequantized.packed import Kept
from youtu_onnx.core.recipe import Blockwise, Recipe, block_for
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.prequantized.columns import Columns, columns_of
from youtu_onnx.exporters.prequantized.kept_codes import KeptCodes
from youtu_onnx.exporters.quantize.quantizer import Quantizer
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.graphs.parameter import Parameter

DEQUANTIZE = (
    "export with --precision int8, fp16 or fp32, which dequantize it; or export from the checkpoint before it was quantized"
)


@dataclass(frozen=True)
class Chosen:
    """Attributes:
    order: of the columns, which the matrix's inputs have to be brought into; None: as they are.
    measured: whether the quantizer goes by what the matrix is multiplied with.
    """

    storage: Blockwise
    quantizer: Quantizer
    order: tuple[int, ...] | None = None
    measured: bool = True


@dataclass(frozen=True)
class Choice:
    """By the parameters' names in the graph, those whose codes the checkpoint has; all others are left to ``quantizer``."""

    quantizer: Quantizer
    kept: Mapping[str, Chosen] = field(default_factory=dict)

    def of(self, name: str, storage: Blockwise) -> Chosen:
        """``storage``: what the recipe asks for."""
        return self.kept.get(name) or Chosen(storage, self.quantizer)


def choice_of(
    checkpoint: Checkpoint, sources: Mapping[str, Parameter], recipe: Recipe, target: Target, quantizer: Quantizer
) -> Choice:
    """Reads indices of groups, and no weight.

    Raises:
        CheckpointError: groups that no blocks hold, or matrices of one input that want it in two orders.
    """
    if not keeps_codes(checkpoint, recipe):
        return Choice(quantizer)
    kept = {}
    for name, parameter in sources.items():
        packed = _packed(checkpoint, parameter)
        if not packed:
            continue
        columns = _agreed([(one, _columns(one, kept_codes)) for one, kept_codes in packed.items()])
        storage = _storage(checkpoint, parameter, list(packed.values()), columns, recipe, target)
        codes = KeptCodes(checkpoint, parameter, columns.order, quantizer)
        kept[name] = Chosen(storage, codes, columns.order, measured=len(packed) < len(parameter.rows))
    return Choice(quantizer, kept)


def keeps_codes(checkpoint: Checkpoint, recipe: Recipe) -> bool:
    """Whether codes of the checkpoint go into a bundle of this recipe: not where an adapter is merged into what they mean."""
    return (
        checkpoint.change is None
        and recipe.precision == "int4"
        and any(one.kept is not None for one in checkpoint.packed.values())
    )


def _packed(checkpoint: Checkpoint, parameter: Parameter) -> dict[str, Kept]:
    """By name those with codes of the matrices that a parameter is rows of."""
    named = {rows.tensor: checkpoint.packed[rows.tensor] for rows in parameter.rows if rows.tensor in checkpoint.packed}
    return {name: one.kept for name, one in named.items() if one.kept is not None and parameter.kind == "matrix"}


def _columns(name: str, kept: Kept) -> Columns:
    columns = columns_of(kept.groups())
    if columns is None:
        raise CheckpointError(f"{name}: its groups of columns make no blocks of 16 to 256, which int4 has", hint=DEQUANTIZE)
    return columns


def _agreed(found: list[tuple[str, Columns]]) -> Columns:
    """For matrices that are multiplied with one input."""
    (name, first), *others = found
    for other, columns in others:
        if columns.order != first.order:
            raise CheckpointError(
                f"{name} and {other} are multiplied with one input, and their groups (g_idx) want it in two orders",
                hint=DEQUANTIZE,
            )
    return Columns(first.order, min(columns.block for _, columns in found))


def _storage(
    checkpoint: Checkpoint, parameter: Parameter, kept: list[Kept], columns: Columns, recipe: Recipe, target: Target
) -> Blockwise:
    """In the widest codes that any part has. Parts that the checkpoint has as floats are stored as the recipe says."""
    known = checkpoint.packed
    rest = [rows.tensor for rows in parameter.rows if rows.tensor not in known or known[rows.tensor].kept is None]
    wanted = recipe.storage(rest, parameter.shape[1]) if rest else None
    bits = max([one.bits for one in kept] + ([wanted.bits] if wanted else []))
    middle = all(one.symmetric and one.bits == bits for one in kept) and (wanted is None or wanted.symmetric)
    block = block_for(parameter.shape[1], bits, columns.block, even=target.even_at_8_bits and bits == 8)
    return Blockwise(bits, block, middle)
