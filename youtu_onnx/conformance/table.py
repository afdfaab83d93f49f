"""What an execution provider takes: operators, the versions of them that have a kernel, and the types of their operands.

A kernel is found by the version in which its operator last changed at or before the graph's opset, and by no other: DirectML's
``Cos``, registered for version 7, runs in graphs of opsets up to 21, and in those of 22, where Cos became another, the node
goes to the CPU. So a table belongs to a release, and lists versions.

The tables' source is ONNX Runtime's own list of kernels (docs/OperatorKernels.md). Only operators that a graph of this project
might contain are listed: one that is missing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from youtu_onnx.core.domains import MICROSOFT

if TYPE_CHECKING:
    import onnx_ir as ir

FLOATS = frozenset({"FLOAT", "FLOAT16"})
INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
NUMBERS = FLOATS | INTEGERS
BOOL = frozenset({"BOOL"})
ANY = NUMBERS | BOOL
BYTES = frozenset({"UINT8"})
WIDE = frozenset({"INT32", "INT64", "UINT32", "UINT64"})


Elsewhere = Literal["cpu", "wrong", "nowhere"]
"""Where a node is that the provider doesn't run as it should: on the CPU, on it with wrong numbers, or, where no other provider
lies behind it, nowhere: the graph doesn't open."""


@dataclass(frozen=True)
class Kernel:
    """One operator on one provider.

    Attributes:
        since: versions of the operator that it is registered for.
        inputs: position → types that the operand there may have; what isn't named may have any.
    """

    since: frozenset[int]
    inputs: Mapping[int, frozenset[str]]


@dataclass(frozen=True)
class Table:
    """One release of one provider.

    Attributes:
        release: in words.
        kernels: by domain (empty for ONNX's own) and operator.
        never: operators whose kernel is not used in practice, or must not be: where they are then, and why.
        traps: what else a node may be refused for, from its attributes, shapes and missing operands.
        may_leave: operators that may stay on the CPU, and why that does no harm (``host.py``). None where a graph must be whole,
            as graph capture wants it.
        alone: whether no other provider lies behind it: it is a CPU's.
    """

    release: str
    kernels: Mapping[tuple[str, str], Kernel]
    never: Mapping[str, tuple[Elsewhere, str]] = field(default_factory=dict)
    traps: Callable[[ir.Node], tuple[Elsewhere, str] | None] = lambda _: None
    may_leave: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False


def kernels(*groups: tuple[str, tuple[int, ...], Mapping[int, frozenset[str]]]) -> dict[tuple[str, str], Kernel]:
    """``("Add Sub", (14,), {0: NUMBERS})`` … → a kernel for each name; names of com.microsoft begin with a dot."""
    found: dict[tuple[str, str], Kernel] = {}
    for names, since, inputs in groups:
        for name in names.split():
            domain, operator = (MICROSOFT, name[1:]) if name.startswith(".") else ("", name)
            found[domain, operator] = Kernel(frozenset(since), inputs)
    return found
