"""One decode step of a bundle over a made-up cache: what it needs, how long it takes, and which operators take that."""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx

from benchmarks import kernels
from benchmarks.kernels import Timed
from benchmarks.shapes import youtu_shape
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.recipe import BLOCK_SIZES
from youtu_onnx.runtimes.ort.session import ONNXRUNTIME, open_graph
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.options import ProviderOptions

COPIES = 16
"""Of the matrix that int4 products are timed with: 0.2 GB at the 2B shape, far more than a cache holds."""
STEPS = 12
NATIVE_ATTENTION = ("LatentAttention", "ByteLatentAttention")
SCALE_BYTE = 144
"""Scale of made-up byte rows, 2^-6: their codes then stand for numbers as large as a latent's."""


@dataclass(frozen=True)
class Work:
    """What one step of one token needs at any context: bytes of int4 weights with scales and zero points, int8 bytes of W_UK and
    W_UV, and a product for each weight; and for each cached token its bytes and products."""

    int4_bytes: int
    int4_products: int
    absorbed_bytes: int
    cache_bytes: int
    attention_products: int

    @classmethod
    def of(cls, manifest: Manifest, graph: onnx.GraphProto) -> Work:
        a = youtu_shape(manifest)
        stored = {one.name: one for one in graph.initializer}
        size = products = 0
        for node in graph.node:
            if node.op_type == "MatMulNBits":
                attributes = {one.name: one.i for one in node.attribute}
                products += attributes["K"] * attributes["N"]
                size += sum(_bytes(stored[name]) for name in node.input[1:] if name in stored)
        heads = a.num_attention_heads
        return cls(
            size,
            products,
            a.num_hidden_layers * heads * (a.qk_nope_head_dim + a.v_head_dim) * a.kv_lora_rank,
            manifest.cache.bytes_per_token,
            a.num_hidden_layers * heads * 2 * a.latent_dim,
        )

    def bytes(self, tokens: int) -> int:
        return self.int4_bytes + self.absorbed_bytes + tokens * self.cache_bytes

    def of_operator(self, operator: str, tokens: int) -> tuple[int, int]:
        """Bytes and products of all native operators of this kind in a step; zeros for any other operator."""
        if operator == "Linear":
            return self.int4_bytes, self.int4_products
        if operator in NATIVE_ATTENTION:
            rows = tokens * self.cache_bytes, tokens * self.attention_products
            return self.absorbed_bytes + rows[0], self.absorbed_bytes + rows[1]
        return 0, 0


@dataclass(frozen=True)
class Step:
    """One decode step with ``tokens`` in the cache. Seconds: medians; ``profile``: of each operator in a run of its own under the
    profiler, which makes each of them a little slower. ``kernels``: attention's two products, alone; none of native attention,
    which is one operator with all that is around them."""

    tokens: int
    bytes: int
    seconds: float
    kernels: Sequence[Timed]
    profile: Mapping[str, tuple[int, float]]

    def least(self, int4_seconds: float) -> float:
        """Seconds of the weights' products and of attention's two, each at its kernel's speed."""
        return int4_seconds + sum(one.median for one in self.kernels[:2])


def int4_kernels(manifest: Manifest, threads: int, rounds: int, *, native: bool) -> list[Timed]:
    """The widest matrix of a layer, gate and up together, in every block size that its rows are a multiple of."""
    k, n = youtu_shape(manifest).hidden_size, 2 * youtu_shape(manifest).intermediate_size
    sizes = [size for size in BLOCK_SIZES if size >= 32 and k % size == 0]
    return kernels.in_turns([kernels.int4_product(k, n, size, COPIES, native=native) for size in sizes], threads, rounds)


def attention_kernels(manifest: Manifest, tokens: int, threads: int, rounds: int) -> list[Timed]:
    """The two products of attention over all layers' rows: first those that the bundle's graph makes, then others to compare."""
    a = youtu_shape(manifest)
    shape = (a.num_hidden_layers, tokens, a.latent_dim, a.num_attention_heads)
    made = [kernels.scores(*shape), kernels.context(*shape)]
    others = [kernels.byte_scores(*shape), kernels.byte_context(*shape)]
    if manifest.cache.dtype == "uint8":
        made, others = others, made
    return kernels.in_turns([*made, *others, kernels.byte_context(*shape, signed=True)], threads, rounds)


class Model:
    """A bundle's graph, run at any context over a made-up cache."""

    def __init__(self, bundle: Bundle, threads: int, options: ProviderOptions, *, profile: str | None = None) -> None:
        opened = open_graph(bundle, names.MODEL, CPU, threads, options, profile=profile)
        self.session, self.kernels, self.bundle = opened.session, opened.kernels, bundle

    @property
    def native(self) -> bool:
        return self.kernels != ONNXRUNTIME

    def step(self, tokens: int, steps: int) -> list[float]:
        """Seconds of each of so many steps of one token after ``tokens`` others."""
        binding, held = self.session.io_binding(), []
        feeds = {
            "input_ids": np.ones((1, 1), np.int64),
            "attention_mask": np.ones((1, tokens + 1), np.int64),
            "position_ids": np.full((1, 1), tokens),
        }
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output("logits", "cpu")
        random = np.random.default_rng(0)
        for tensor in self.bundle.manifest.cache.tensors:
            rows = made_up_rows(random, tokens + 1, tensor.width, self.bundle.manifest.cache.dtype)
            held.append(rows)
            shape, address = (1, 1, tokens, tensor.width), rows.ctypes.data
            binding.bind_input(tensor.past, "cpu", 0, rows.dtype.type, shape, address)
            binding.bind_output(tensor.present, "cpu", 0, rows.dtype.type, (1, 1, tokens + 1, tensor.width), address)
        seconds = []
        for _ in range(steps):
            started = time.perf_counter()
            self.session.run_with_iobinding(binding)
            seconds.append(time.perf_counter() - started)
        return seconds


def made_up_rows(random: np.random.Generator, count: int, width: int, dtype: str) -> np.ndarray:
    """Rows of a latent cache ``[count, width]``."""
    if dtype != "uint8":
        return random.standard_normal((count, width), dtype=np.float32).astype(dtype)
    rows = random.integers(0, 256, (count, width), dtype=np.uint8)
    rows[:, :8] = rows[:, :8] & 0xFE | np.unpackbits(np.uint8(SCALE_BYTE), bitorder="little")
    return rows


def measured_steps(
    bundle: Bundle, contexts: Sequence[int], threads: int, rounds: int, work: Work, options: ProviderOptions
) -> Iterator[Step]:
    plain = Model(bundle, threads, options)
    native = plain.native
    seconds = {tokens: median(plain.step(tokens, STEPS + 2)[2:]) for tokens in contexts}
    del plain
    for tokens in contexts:
        yield Step(
            tokens,
            work.bytes(tokens),
            seconds[tokens],
            () if native else attention_kernels(bundle.manifest, tokens, threads, rounds),
            profile(bundle, tokens, threads, options),
        )


def profile(bundle: Bundle, tokens: int, threads: int, options: ProviderOptions) -> dict[str, tuple[int, float]]:
    """Operator → how often it runs in a step, and seconds in all; the most expensive first."""
    with tempfile.TemporaryDirectory() as folder:
        model = Model(bundle, threads, options, profile=f"{folder}/step")
        model.step(tokens, STEPS)
        events = json.loads(Path(model.session.end_profiling()).read_text(encoding="utf-8"))
    nodes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["args"]["op_name"], event["name"]].append(event["dur"] / 1e6)
    counts: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    for (operator, _), times in nodes.items():
        if operator != "If":  # the nodes inside of it have times of their own
            counts[operator] += len(times) // STEPS
            seconds[operator] += median(times) * len(times) / STEPS  # names may be shared by nodes of different layers
    return {name: (counts[name], seconds[name]) for name in sorted(seconds, key=lambda name: -seconds[name])}


def _bytes(tensor: onnx.TensorProto) -> int:
    return int(np.prod(list(tensor.dims))) * np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
