"""Operators that torch's exporter to ONNX has no words for, in terms of those that it has.

It would find such terms itself, and trace the whole program once more for that: nearly half of the time that a trace takes, for
three kinds of nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.export import ExportedProgram
from torch.fx import Node

aten = torch.ops.aten
SAME = {
    aten.__and__.Tensor: aten.bitwise_and.Tensor,
    aten.__and__.Scalar: aten.bitwise_and.Scalar,
    aten.__or__.Tensor: aten.bitwise_or.Tensor,
    aten.__or__.Scalar: aten.bitwise_or.Scalar,
    aten.__xor__.Tensor: aten.bitwise_xor.Tensor,
    aten.__xor__.Scalar: aten.bitwise_xor.Scalar,
}
"""By another name."""


def without_composites(program: ExportedProgram) -> None:
    """Rewrite a program in place, and tell the exporter that it needs no decomposition.

    Where something else is left that needs one, the program stays as the exporter wants it: it decomposes all.
    """
    for node in list(program.graph.nodes):
        if node.target in SAME:
            node.target = SAME[node.target]
        elif node.target == aten.to.dtype:
            _cast(node)
        elif node.target == aten.chunk.default:
            _split(node)
    program.graph_module.recompile()
    decompose: Callable[..., ExportedProgram] = program.run_decompositions

    def only_what_is_left(table: dict[torch._ops.OperatorBase, Callable[..., object]]) -> ExportedProgram:
        left = any(node.target in table or _needs_decomposition(node) for node in program.graph.nodes)
        return decompose(table) if left else program

    program.run_decompositions = only_what_is_left


def _cast(node: Node) -> None:
    """One to the type that something has already is nothing."""
    value, dtype = node.args[:2]
    if not isinstance(value, Node) or len(node.args) > 2 or node.kwargs:
        return
    named = any(user.op == "output" for user in node.users)  # what the program returns is known by its name
    if value.meta["val"].dtype == dtype and not named:
        node.replace_all_uses_with(value)
        node.graph.erase_node(node)
    else:
        node.target, node.args, node.kwargs = aten._to_copy.default, (value,), {"dtype": dtype}


def _split(node: Node) -> None:
    """Into pieces of one size, the last of which may be smaller."""
    value, count, axis = node.args if len(node.args) == 3 else (*node.args, 0)
    if not isinstance(value, Node) or not isinstance(count, int) or not isinstance(axis, int) or node.kwargs:
        return
    length = value.meta["val"].shape[axis]
    if isinstance(length, int):
        node.target, node.args = aten.split.Tensor, (value, -(-length // count), axis)


HAS_WORDS = {
    aten.linear.default,
    aten.matmul.default,
    aten.reshape.default,
    aten.rms_norm.default,
    aten.softmax.int,
    aten.sym_size.int,
    aten.where.Scalar,
}
"""Composite operators that the exporter translates as they are."""


def _needs_decomposition(node: Node) -> bool:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target in HAS_WORDS:
        return False
    return target._schema.is_mutable or target._can_decompose()
