"""What is refused before a weight is read."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from youtu_onnx.conformance import TABLES, conformance
from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import CheckpointError, UsageError, listed
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.builder import size_of
from youtu_onnx.graphs.parameter import Parameter


def refuse_misreadings(checkpoint: Checkpoint) -> None:
    """
    Raises:
        CheckpointError: the model that transformers makes of ``config.json`` is not the one that would be exported.
    """
    found = reference_of(checkpoint.family).misreadings(checkpoint)
    if found:
        raise CheckpointError(
            listed(f"{checkpoint.path / names.CONFIG} means something else to transformers than to youtu-onnx", found),
            hint="remove what the model's authors don't publish, or report this with the file",
        )


def refuse_what_the_target_does_not_take(model: ir.Model, target: Target) -> None:
    """Not the user's mistake: a graph that this version shouldn't have made for this model."""
    if target.name not in TABLES:
        return
    found = conformance(model, TABLES[target.name])
    if found.faults:
        some = "\n  - ".join(f"{one.operator} {one.node}: {one.reason}" for one in found.faults[:5])
        raise CheckpointError(
            f"{len(found.faults)} nodes of the graph are not what {found.table.release} takes:\n  - {some}",
            hint=f"report this with the model's config.json; until then export for a target other than {target.name}",
        )


def refuse_exceptions(sources: Mapping[str, Parameter], recipe: Recipe) -> None:
    """Those from int4 that would have no effect."""
    matrices = [name for graph_name, p in sources.items() if p.kind == "matrix" for name in (graph_name, *p.tensors)]
    unmatched = recipe.unmatched(matrices)
    if unmatched:
        raise UsageError(
            f"--int8 {','.join(unmatched)} names no matrix of this model",
            hint="use patterns such as lm_head, *.o_proj, model.layers.0.*, *.mlp.down_proj",
        )


def refuse_columns(sources: Mapping[str, Parameter], recipe: Recipe, target: Target) -> None:
    if not recipe.quantized:
        return
    odd = {name: p.shape[1] for name, p in sources.items() if p.kind == "matrix" and p.shape[1] % target.columns}
    if odd:
        some = ", ".join(f"{name} ({columns})" for name, columns in list(odd.items())[:3])
        raise UsageError(
            f"target {target.name} multiplies int4 and int8 matrices whose rows have a multiple of {target.columns} "
            f"numbers; {len(odd)} of this model's have not: {some}",
            hint="export with --precision fp16",
        )


def refuse_odd_blocks(model: ir.Model, target: Target) -> None:
    """See :attr:`Target.even_blocks`."""
    for node in model.graph if target.even_blocks else ():
        if node.op_type == "GatherBlockQuantized" and node.attributes["bits"].as_int() == 4 and len(node.inputs) > 3:
            assert node.inputs[2] is not None
            blocks, size = size_of(node.inputs[2], 1), node.attributes["block_size"].as_int()
            if blocks % 2:
                raise UsageError(
                    f"a row of the embedding has {blocks} block{'s' * (blocks > 1)} of {size}, an odd number, which "
                    f"ONNX Runtime 1.24 to 1.26 reads wrongly on target {target.name}",
                    hint="leave --block-size away or make it smaller; or export with --symmetric or --target cpu",
                )
