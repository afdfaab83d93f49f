"""The token embedding at the recipe's precision, sharing the head's bytes where the two are tied.

``Gather(W, ids)``  →  ``GatherBlockQuantized(B, ids, scales, zero_points?)``  (com.microsoft, opset 1), or the same in plain
arithmetic (``unpacking.py``) where the target has no such operator.

MatMulNBits reads B as [N,G,bytes] and GatherBlockQuantized as [N,G·bytes]; the same bytes in the file serve both under
two names. A width that doesn't fill its last block leaves padding behind, which a Slice drops.
"""

from __future__ import annotations

import onnx_ir as ir

from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.recipe import Blockwise, Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.assembly import Assembly, Packing, Piece
from youtu_onnx.exporters.passes.unpacking import Unpacking
from youtu_onnx.exporters.prequantized.choice import DEQUANTIZE, Choice
from youtu_onnx.exporters.quantize.packing import blockwise

NAME, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def embedding(assembly: Assembly, recipe: Recipe, target: Target, choice: Choice, *, tied: bool) -> None:
    """Rewrite the Gather in place."""
    parameter = assembly.unpacked(NAME)
    if parameter is None:
        return
    wanted = recipe.storage((NAME,), parameter.shape[1], even_at_8_bits=target.even_at_8_bits)
    if wanted is None:
        return
    chosen = choice.of(NAME, wanted)
    storage = chosen.storage
    if chosen.order is not None:
        raise CheckpointError(f"{NAME} is looked up by rows, and its groups (g_idx) lie apart", hint=DEQUANTIZE)
    node = next(n for n in assembly.graph if n.op_type == "Gather" and n.inputs[0] is not None and n.inputs[0].name == NAME)
    shared = assembly.packings.get(HEAD) if tied else None
    packing = shared or blockwise(NAME, parameter, storage, assembly.dtype, chosen.quantizer, zero_points=target.zero_points)
    if shared is None:
        assembly.store(NAME, packing)
    gather = _gather if target.gather_quantized else _unpack
    gather(assembly, node, packing, packing.storage or storage, parameter.shape[1])
    initializers = assembly.graph.initializers
    if NAME in initializers and not initializers[NAME].uses():
        del initializers[NAME]


def _gather(assembly: Assembly, node: ir.Node, packing: Packing, storage: Blockwise, width: int) -> None:
    values = packing.pieces[0]
    rows, groups, in_bytes = values.shape
    flat = assembly.alias(Piece(f"{NAME}_rows", values.dtype, (rows, groups * in_bytes)), values.name)
    scales, *zero_points = (assembly.initializer(piece) for piece in packing.pieces[1:])
    attributes = {"bits": storage.bits, "block_size": storage.block_size, "gather_axis": 0, "quantize_axis": 1}
    inputs = [flat, node.inputs[1], scales, *zero_points]
    here = assembly.builder.at(node)
    if groups * storage.block_size == width:
        here.replace(node, "GatherBlockQuantized", inputs, attributes, domain=MICROSOFT)
        return
    padded = here.op("GatherBlockQuantized", inputs, "model.embedding_padded", attributes, domain=MICROSOFT)
    _without_padding(assembly, node, padded, width)


def _unpack(assembly: Assembly, node: ir.Node, packing: Packing, storage: Blockwise, width: int) -> None:
    rows = Unpacking(assembly, node, NAME).rows(packing, storage)
    if packing.pieces[0].shape[1] * storage.block_size != width:
        _without_padding(assembly, node, rows, width)
        return
    assembly.builder.take(node, rows)


def _without_padding(assembly: Assembly, node: ir.Node, rows: ir.Value, width: int) -> None:
    builder = assembly.builder
    bounds = [builder.integers(f"embed.{name}", number) for name, number in (("start", 0), ("end", width), ("axis", -1))]
    builder.replace(node, "Slice", [rows, *bounds])
