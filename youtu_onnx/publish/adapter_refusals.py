"""Adapters beside the weights that an export refuses before it writes any."""

from __future__ import annotations

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.exporters.assembly import Assembly
from youtu_onnx.families.adapters.adapter import Adapter
from youtu_onnx.families.adapters.choice import NamedAdapter
from youtu_onnx.families.adapters.inputs import refuse_beside
from youtu_onnx.families.checkpoint import Checkpoint


def refuse_static(target: Target) -> None:
    """
    Raises:
        UsageError: every step of the target's graphs has the same shapes, and adapters have ranks of their own.
    """
    if target.static_cache:
        raise UsageError(
            f"graphs for the target {target.name} have fixed shapes, and take no adapters", hint="merge one: --adapter-mode merge"
        )


def refuse_rescaled(recipe: Recipe) -> None:
    """
    Raises:
        UsageError: adapters were trained for inputs as the checkpoint has them.
    """
    if recipe.searches_scales:
        raise UsageError(
            f"--algorithm {recipe.algorithm} scales inputs of matrices, and adapters beside them were trained for unscaled ones",
            hint="use --algorithm gptq, or merge one adapter: --adapter-mode merge",
        )


def refuse_unfit(checkpoint: Checkpoint, assembly: Assembly, given: tuple[NamedAdapter, ...]) -> None:
    """Read adapters for a graph that is about to be written.

    Raises:
        AdapterError: one can't be read, doesn't fit the model, or can't be kept beside the weights.
    """
    sizes = {
        part.module: (part.count, assembly.parameters[name].shape[1])
        for name, parts in assembly.adapted.items()
        for part in parts
    }
    sizes |= {one.module: (one.heads * (one.key + one.value), one.columns) for one in assembly.adapted_heads.values()}
    for named in given:
        adapter = Adapter.open(named.path, checkpoint.architecture, named.name)
        refuse_beside(adapter, sizes)
        for module in adapter.modules.values():
            module.read()
