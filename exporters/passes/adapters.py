"""Inputs for LoRA adapters beside the matrices that they may change.

``y = MatMul(x, Transpose(W))``, W a matrix [N,K]  →  ``y + MatMul(MatMul(x, A), B)``, A [K,R] and B [R,N]

A and B are inputs that may be left away: initializers of rank R = 0, in whose place a run may give others, of any rank. That is
what ONNX Runtime's and onnxruntime-genai's adapters do. A product over no numbers is zero, so the model without an adapter is the
same and costs three small operators a matrix more.

Heads of latent attention are traced with theirs (``heads.lora.*``), of some rank that is forgotten here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.graphs.adapted_rows import AdaptedHeads
from youtu_onnx.graphs.builder import declared

A, B = "lora_A.weight", "lora_B.weight"


def adapters(assembly: Assembly, matrices: Iterable[str], heads: Mapping[str, AdaptedHeads]) -> None:
    """Add them in place, before anything else is done to the matrices.

    Args:
        matrices: the graph's names of those that adapters may change.
        heads: by the beginning of their inputs' names.
    """
    for stem, one in heads.items():
        for end, shape in one.inputs.items():
            _free(assembly, f"{stem}.{end}", [f"rank of {stem}" if dim is None else dim for dim in shape])
    wanted = set(matrices)
    for node in list(assembly.graph):
        transpose = node.inputs[1].producer() if node.op_type == "MatMul" and node.inputs[1] is not None else None
        matrix = transpose.inputs[0] if transpose is not None and transpose.op_type == "Transpose" else None
        if matrix is not None and matrix.name in wanted:
            wanted.remove(matrix.name)
            _add(assembly, node, matrix.name)
    assert not wanted, f"nothing is multiplied with {min(wanted)}"


def _add(assembly: Assembly, node: ir.Node, name: str) -> None:
    rows, columns = assembly.parameters[name].shape
    stem, product = name.removesuffix(".weight"), node.outputs[0]
    rank = f"rank of {stem}"  # a name of its own: tensors with equal names of axes are given the same memory
    factors = [_input(assembly, f"{stem}.{which}", dims) for which, dims in ((A, (columns, rank)), (B, (rank, rows)))]
    total = ir.Value(name=product.name, shape=product.shape, type=product.type)
    product.replace_all_uses_with(total, replace_graph_outputs=True)
    product.name = f"{stem}.without_lora"
    low = ir.node("MatMul", [node.inputs[0], factors[0]], outputs=[ir.Value(name=f"{stem}.lora_low")])
    added = ir.node("MatMul", [low.outputs[0], factors[1]], outputs=[ir.Value(name=f"{stem}.lora_added")])
    made = [low, added, ir.node("Add", [product, added.outputs[0]], outputs=[total])]
    for one in made:
        one.name = f"{one.outputs[0].name}/{one.op_type}"
    assembly.graph.insert_after(node, made)


def _free(assembly: Assembly, name: str, dims: Sequence[int | str]) -> None:
    """Make a traced parameter an input, and forget what its rank made of the shapes behind it."""
    traced = assembly.graph.initializers.pop(name)
    made = _input(assembly, name, dims)
    for node, place in tuple(traced.uses()):
        node.replace_input_with(place, made)
        for output in node.outputs:
            output.shape = None


def _input(assembly: Assembly, name: str, dims: Sequence[int | str]) -> ir.Value:
    """An input of rank 0 unless one is given."""
    value = declared(name, assembly.dtype, dims)
    nothing = np.zeros([0 if isinstance(dim, str) else dim for dim in dims], assembly.dtype.numpy())
    value.const_value = ir.tensor(nothing, name=name)
    assembly.graph.inputs.append(value)
    assembly.graph.initializers[name] = value
    return value
