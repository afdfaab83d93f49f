"""Tracing a torch module into an ONNX graph without holding its weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence

import onnx_ir as ir
import onnxscript.optimizer
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from youtu_onnx.target import OPSET


def trace(build: Callable[[], nn.Module], inputs: Callable[[], Sequence[Tensor]], *, dynamic: Sequence[dict[int, str]],
          dtype: torch.dtype = torch.float32, opset: int = OPSET) -> ir.Model:
    """Trace ``build()`` on fake tensors: shapes and dtypes flow through it, numbers don't exist.

    Args:
        build: makes the module; called where every new tensor is fake, so a layer of any width costs no memory.
        inputs: makes example inputs, likewise.
        dynamic: for each input the axes whose length is free, and what to call them.
        dtype: of floating-point tensors whose maker names none: parameters and inputs.
        opset: of ONNX's operators, 18 or later.

    Returns:
        A graph whose initializers carry the module's parameter names but no data.
    """
    shapes = tuple({axis: torch.export.Dim.DYNAMIC for axis in axes} for axes in dynamic)
    with _quiet(), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), _default_dtype(dtype):
        module = build().eval()
        program = torch.export.export(module, tuple(inputs()), dynamic_shapes=_nest(module, shapes), strict=False)
        exported = torch.onnx.export(program, dynamo=True, opset_version=opset, optimize=False, verbose=False)
        model = exported.model
        for initializer in model.graph.initializers.values():
            initializer.const_value = None  # fake: nothing may ask for its numbers
        onnxscript.optimizer.optimize(model)
    named: dict[str, str] = {}
    for value, axes in zip(model.graph.inputs, dynamic, strict=True):
        named |= {str(value.shape[axis]): name for axis, name in axes.items()}
        _name_axes(value, axes)
    for node in model.graph:
        for value in node.outputs:  # torch calls equal lengths by one of their names, and not always by the same
            _name_axes(value, {axis: named[str(dim)] for axis, dim in enumerate(value.shape or ()) if str(dim) in named})
    return model


def _nest(module: nn.Module, shapes: tuple[dict[int, object], ...]) -> tuple[object, ...]:
    """torch.export wants the axes of ``*args`` as one nested tuple."""
    parameters = module.forward.__code__
    fixed = parameters.co_argcount - 1  # without self
    takes_rest = bool(parameters.co_flags & 0x04)
    return (*shapes[:fixed], tuple(shapes[fixed:])) if takes_rest and len(shapes) > fixed else shapes


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
