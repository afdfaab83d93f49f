"""Single products of ONNX Runtime's CPU provider, or of the native kernels, at a model's shapes and with operands from memory.

Each kernel is a graph of one operator, repeated with as many different right operands as a model has layers: a decode step finds
none of them in a cache, either. Kernels that are to be compared run in turns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from youtu_onnx.core.domains import MICROSOFT
from youtu_onnx.runtimes.native import library
from youtu_onnx.runtimes.native.graph import DOMAIN as OWN

PAUSE = 0.1
"""Seconds after which idle threads sleep."""
ROWS_OF_WEIGHTS = 2
"""Attention weights over byte rows come as two bytes, so in twice as many rows: ``families/youtu/graph/attention.py``."""


@dataclass(frozen=True)
class Kernel:
    """``products`` of one run of the graph, and ``bytes`` of right operands that it reads. ``native``: an operator of ours."""

    name: str
    model: bytes
    feeds: Mapping[str, np.ndarray]
    products: int
    bytes: int
    native: bool = False


@dataclass(frozen=True)
class Timed:
    """Median, and least and most, of a kernel's seconds for one run."""

    kernel: Kernel
    seconds: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def gmacs(self) -> float:
        """10^9 products a second."""
        return self.kernel.products / self.median / 1e9

    @property
    def gigabytes(self) -> float:
        """10^9 bytes a second."""
        return self.kernel.bytes / self.median / 1e9


def in_turns(kernels: Sequence[Kernel], threads: int, rounds: int) -> list[Timed]:
    """Time kernels one after the other, ``rounds`` times; a first round doesn't count.

    A session's threads go on looking for work when a run is over, on the cores that the next session wants. So each turn waits
    until they sleep, and its first run, which wakes its own, isn't timed.
    """
    runs = [opened(kernel, threads) for kernel in kernels]
    seconds: list[list[float]] = [[] for _ in kernels]
    for turn in range(rounds + 1):
        for (session, binding), times in zip(runs, seconds, strict=True):
            time.sleep(PAUSE)
            session.run_with_iobinding(binding)
            started = time.perf_counter()
            session.run_with_iobinding(binding)
            if turn:
                times.append(time.perf_counter() - started)
    return [Timed(kernel, times) for kernel, times in zip(kernels, seconds, strict=True)]


def int4_product(k: int, n: int, block_size: int, copies: int, rows: int = 1, *, native: bool = False) -> Kernel:
    """MatMulNBits, or ``native`` Linear, of ``rows`` rows with asymmetric int4 matrices ``[n, k]``, as an export writes them.

    ``k`` a multiple of the block size.
    """
    random, blocks = np.random.default_rng(0), k // block_size
    operands: list[list[np.ndarray]] = []
    size = 0
    for _ in range(copies):
        right: list[np.ndarray] = [
            random.integers(0, 256, (n, blocks, block_size // 2), dtype=np.uint8),
            random.random(n * blocks, dtype=np.float32) / 100,
            random.integers(0, 256, n * -(-blocks // 2), dtype=np.uint8),
        ]
        size += sum(array.nbytes for array in right)
        operands.append(right)
    x = random.standard_normal((rows, k), dtype=np.float32)
    attributes: dict[str, int | float] = {"K": k, "N": n, "bits": 4, "block_size": block_size}
    if native:
        attributes |= {"offset": 0, "epsilon": 0.0, "gated": 0}
    else:
        attributes["accuracy_level"] = 4
    model = _model("Linear" if native else "MatMulNBits", x, operands, ir.DataType.FLOAT, attributes, stored=True)
    return Kernel(f"int4, block {block_size}", model, {"x": x}, rows * k * n * copies, size, native)


def scores(layers: int, tokens: int, width: int, heads: int) -> Kernel:
    """K·qᵀ over float rows of a latent cache, one query."""
    random = np.random.default_rng(0)
    query = random.standard_normal((1, 1, heads, width), dtype=np.float32)
    rows = [random.standard_normal((1, 1, tokens, width), dtype=np.float32) for _ in range(layers)]
    return _over_rows("K·qᵀ, float rows", "FusedMatMul", query, rows, ir.DataType.FLOAT, {"transB": 1}, left="rows")


def byte_scores(layers: int, tokens: int, width: int, heads: int) -> Kernel:
    """K·qᵀ over byte rows."""
    random = np.random.default_rng(0)
    query = random.integers(-127, 128, (1, 1, width, heads), dtype=np.int8)
    rows = [random.integers(0, 256, (1, 1, tokens, width), dtype=np.uint8) for _ in range(layers)]
    return _over_rows(
        "K·qᵀ, byte rows", "MatMulInteger", query, rows, ir.DataType.INT32, {}, left="rows", constants=[np.array(128, np.uint8)]
    )


def context(layers: int, tokens: int, width: int, heads: int) -> Kernel:
    """P·C over float rows, one query."""
    random = np.random.default_rng(0)
    weights = random.random((1, 1, heads, tokens), dtype=np.float32)
    rows = [random.standard_normal((1, 1, tokens, width), dtype=np.float32) for _ in range(layers)]
    return _over_rows("P·C, float rows", "MatMul", weights, rows, ir.DataType.FLOAT, {}, left="x")


def byte_context(layers: int, tokens: int, width: int, heads: int, signed: bool = False) -> Kernel:
    """P·C over byte rows. ``signed``: as if the cache held signed bytes, which K·qᵀ could not take as its left operand."""
    random = np.random.default_rng(0)
    weights = random.integers(0, 128, (1, 1, ROWS_OF_WEIGHTS * heads, tokens), dtype=np.uint8)
    rows = [random.integers(0, 256, (1, 1, tokens, width), dtype=np.uint8) for _ in range(layers)]
    zeros = [] if signed else [np.array(0, np.uint8), np.array(128, np.uint8)]
    if signed:
        rows = [array.view(np.int8) for array in rows]
    return _over_rows(
        f"P·C, {'signed ' if signed else ''}byte rows",
        "MatMulInteger",
        weights,
        rows,
        ir.DataType.INT32,
        {},
        left="x",
        constants=zeros,
    )


def _over_rows(
    name: str,
    operator: str,
    x: np.ndarray,
    rows: Sequence[np.ndarray],
    made: ir.DataType,
    attributes: Mapping[str, int],
    left: str,
    constants: Sequence[np.ndarray] = (),
) -> Kernel:
    operands = [[array, *constants] for array in rows]
    model = _model(operator, x, operands, made, attributes, stored=False, rows_first=left == "rows")
    products = math.prod(x.shape) * math.prod(rows[0].shape[2:]) // rows[0].shape[3 if left == "rows" else 2] * len(rows)
    return Kernel(
        name,
        model,
        {"x": x} | {f"rows{index}": array for index, array in enumerate(rows)},
        products,
        sum(array.nbytes for array in rows),
    )


def _model(
    operator: str,
    x: np.ndarray,
    operands: Sequence[Sequence[np.ndarray]],
    made: ir.DataType,
    attributes: Mapping[str, int | float],
    *,
    stored: bool,
    rows_first: bool = False,
) -> bytes:
    """One node for each list of operands: constants all of them if ``stored``, else the first one an input."""
    left = _value("x", x)
    inputs, constants, nodes = [left], [], []
    for index, (first, *rest) in enumerate(operands):
        value = _value(f"rows{index}", first)
        if stored:
            value.const_value = ir.tensor(first, name=value.name)
            constants.append(value)
        else:
            inputs.append(value)
        others = []
        for number, array in enumerate(rest):
            others.append(_value(f"constant{index}_{number}", array))
            others[-1].const_value = ir.tensor(array, name=others[-1].name)
        constants += others
        domain = {"MatMul": "", "MatMulInteger": "", "Linear": OWN}.get(operator, MICROSOFT)
        pair = [value, left] if rows_first else [left, value]
        node = ir.node(operator, [*pair, *others], attributes, domain=domain, name=f"node{index}")
        node.outputs[0].name, node.outputs[0].type = f"y{index}", ir.TensorType(made)
        nodes.append(node)
    graph = ir.Graph(
        inputs,
        [node.outputs[0] for node in nodes],
        nodes=nodes,
        initializers=constants,
        opset_imports={"": 21, MICROSOFT: 1, OWN: 1},
        name="kernels",
    )
    return bytes(ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString())


def _value(name: str, array: np.ndarray) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.from_numpy(array.dtype)))


def opened(kernel: Kernel, threads: int) -> tuple[ort.InferenceSession, ort.IOBinding]:
    """A session of the kernel, and its operands bound."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, threads
    options.add_session_config_entry("session.x64quantprecision", "1")  # as runtimes/ort/session.py opens a bundle
    if kernel.native:
        options.register_custom_ops_library(str(library.load().path))
    session = ort.InferenceSession(kernel.model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in kernel.feeds.items():
        binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return session, binding
