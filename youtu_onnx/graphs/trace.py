"""Tracing torch modules into ONNX graphs without holding their weights."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice

import onnx_ir as ir
import onnxscript.optimizer
import torch
import torch._dynamo.config
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from youtu_onnx.core.target import OPSET
from youtu_onnx.graphs.composites import without_composites


@dataclass(frozen=True)
class Part:
    """A torch module to be traced.

    Attributes:
        build: makes the module; called where every new tensor is fake, so a layer of any width costs no memory.
        inputs: makes example inputs, likewise.
        dynamic: for each input the axes whose length is free, and what to call them.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[], Sequence[Tensor]]
    dynamic: Sequence[dict[int, str]]


def trace(parts: Mapping[str, Part], *, dtype: torch.dtype = torch.float32, opset: int = OPSET) -> dict[str, ir.Model]:
    """Trace each part on fake tensors: shapes and dtypes flow through it, numbers don't exist.

    All go through torch's exporter side by side, as one program that is taken apart afterwards: each call of it first builds
    its table of operators anew, which takes longer than a part does.

    Args:
        parts: by names of our choice.
        dtype: of floating-point tensors whose maker names none: parameters and inputs.
        opset: of ONNX's operators, 18 or later.

    Returns:
        By the same names, graphs whose initializers carry their module's parameter names but no data.
    """
    with (
        _quiet(),
        _no_collection(),
        _no_cache,
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.no_grad(),
        _default_dtype(dtype),
    ):
        together = _Together([part.build() for part in parts.values()]).eval()
        inputs = [tuple(part.inputs()) for part in parts.values()]
        free = [tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in part.dynamic) for part in parts.values()]
        program = torch.export.export(together, (inputs,), dynamic_shapes=(free,), strict=False)
        without_composites(program)
        exported = torch.onnx.export(program, dynamo=True, opset_version=opset, optimize=False, verbose=False)
        assert exported is not None  # it is where no file is named
        model = exported.model
        for initializer in model.graph.initializers.values():
            initializer.const_value = None  # fake: nothing may ask for its numbers
        onnxscript.optimizer.optimize(model)
    given, made = (iter([value.name or "" for value in values]) for values in (model.graph.inputs, model.graph.outputs))
    ends = [
        (set(islice(given, len(part.dynamic))), set(islice(made, outputs.num_leaves)))
        for part, outputs in zip(parts.values(), program.call_spec.out_spec.children(), strict=True)
    ]
    return {name: _cut(model, place, *ends[place], part.dynamic) for place, (name, part) in enumerate(parts.items())}


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Tracing makes so many objects that looking for cycles among them takes a sixth of its time; it leaves 8 MB of those."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_no_cache = torch._dynamo.config.patch(fake_tensor_cache_enabled=False)
"""Torch remembers what operators make of which sizes. Where sizes are symbols, that costs a fifth of the time and saves less."""


class _Together(nn.Module):
    """Modules that know nothing of each other, each with inputs of its own."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, inputs: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor | tuple[Tensor, ...], ...]:
        return tuple(part(*given) for part, given in zip(self.parts, inputs, strict=True))


def _cut(model: ir.Model, place: int, inputs: Set[str], outputs: Set[str], dynamic: Sequence[dict[int, str]]) -> ir.Model:
    """The part at ``place``, its own again."""
    part = model.clone()
    graph = part.graph
    for values, kept in ((graph.outputs, outputs), (graph.inputs, inputs)):
        values[:] = [value for value in values if value.name in kept]
    RemoveUnusedNodesPass()(part)
    for value in list(graph.initializers.values()):
        value.name = (value.name or "").removeprefix(f"parts.{place}.")
    named: dict[str, str] = {}
    for value, axes in zip(graph.inputs, dynamic, strict=True):
        assert value.shape is not None
        named |= {str(value.shape[axis]): name for axis, name in axes.items()}
        _name_axes(value, axes)
    for node in graph:
        for value in node.outputs:  # torch calls equal lengths by one of their names, and not always by the same
            _name_axes(value, {axis: named[str(dim)] for axis, dim in enumerate(value.shape or ()) if str(dim) in named})
    return part


def _name_axes(value: ir.Value, axes: dict[int, str]) -> None:
    if not axes:
        return
    dims = list(value.shape or ())
    for axis, name in axes.items():
        dims[axis] = ir.SymbolicDim(name)
    value.shape = ir.Shape(dims)


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints of absent packages that a language model doesn't need; none of it concerns the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
