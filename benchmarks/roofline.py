"""What bounds a decode step and the start on this machine: bytes, products, single kernels, and a profile by operator.

    python -m benchmarks.roofline BUNDLE [--context 128,4096] [--threads N] [--rounds 9] [--json FILE]

For an int4 bundle with a latent cache exported for the CPU. Prints Markdown. Each *kernel* is ONNX Runtime's operator alone, at
the model's shapes, its right operands read from memory (``benchmarks/kernels.py``). *Least by kernels* is what a step would take
if it consisted of its int4 products and attention's two products alone, at those speeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from benchmarks import kernels
from benchmarks.kernels import Timed
from benchmarks.machine import Machine
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.recipe import BLOCK_SIZES
from youtu_onnx.families.known import architecture_of
from youtu_onnx.runtimes.ort.session import session_options
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers import providers

COPIES = 16
"""Of the matrix that int4 products are timed with: 0.2 GB at the 2B shape, far more than a cache holds."""
PROMPT = 16
STEPS = 12
SHOWN = 12
"""Operators of a profile that get a row of their own."""
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
        a = architecture_of(manifest.model)
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


@dataclass(frozen=True)
class Step:
    """One decode step with ``tokens`` in the cache. Seconds: medians; ``profile``: of each operator in a run of its own under the
    profiler, which makes each of them a little slower."""

    tokens: int
    bytes: int
    seconds: float
    kernels: Sequence[Timed]
    profile: Mapping[str, tuple[int, float]]

    def least(self, int4_seconds: float) -> float:
        """Seconds of the weights' products and of attention's two, each at its kernel's speed."""
        return int4_seconds + sum(one.median for one in self.kernels[:2])


def int4_kernels(manifest: Manifest, threads: int, rounds: int) -> list[Timed]:
    """The widest matrix of a layer, gate and up together, in every block size that its rows are a multiple of."""
    k, n = architecture_of(manifest.model).hidden_size, 2 * architecture_of(manifest.model).intermediate_size
    sizes = [size for size in BLOCK_SIZES if size >= 32 and k % size == 0]
    return kernels.in_turns([kernels.int4_product(k, n, size, COPIES) for size in sizes], threads, rounds)


def attention_kernels(manifest: Manifest, tokens: int, threads: int, rounds: int) -> list[Timed]:
    """The two products of attention over all layers' rows: first those that the bundle's graph makes, then others to compare."""
    a = architecture_of(manifest.model)
    shape = (a.num_hidden_layers, tokens, a.latent_dim, a.num_attention_heads)
    made = [kernels.scores(*shape), kernels.context(*shape)]
    others = [kernels.byte_scores(*shape), kernels.byte_context(*shape)]
    if manifest.cache.dtype == "uint8":
        made, others = others, made
    return kernels.in_turns([*made, *others, kernels.byte_context(*shape, signed=True)], threads, rounds)


class Model:
    """A bundle's graph, run at any context over a made-up cache."""

    def __init__(self, bundle: Bundle, threads: int, *, profile: str | None = None) -> None:
        options = session_options(bundle, providers.provider("cpu"), threads)
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        self.session = ort.InferenceSession(bundle.file(names.MODEL), options, providers=["CPUExecutionProvider"])
        self.bundle = bundle

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


def measured_steps(bundle: Bundle, contexts: Sequence[int], threads: int, rounds: int, work: Work) -> Iterator[Step]:
    plain = Model(bundle, threads)
    seconds = {tokens: median(plain.step(tokens, STEPS + 2)[2:]) for tokens in contexts}
    del plain
    for tokens in contexts:
        yield Step(
            tokens,
            work.bytes(tokens),
            seconds[tokens],
            attention_kernels(bundle.manifest, tokens, threads, rounds),
            profile(bundle, tokens, threads),
        )


def profile(bundle: Bundle, tokens: int, threads: int) -> dict[str, tuple[int, float]]:
    """Operator → how often it runs in a step, and seconds in all; the most expensive first."""
    with tempfile.TemporaryDirectory() as folder:
        model = Model(bundle, threads, profile=f"{folder}/step")
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


def opening(bundle: Bundle, threads: int, rounds: int) -> dict[str, float]:
    """Seconds of the parts of a start in this process, medians; files are in the system's cache."""
    packing: list[float] = []
    bare: list[float] = []
    optimized: list[float] = []
    prompt: list[float] = []
    path = bundle.file(names.MODEL)
    for _ in range(rounds):
        for found, disable, level in (
            (bare, "1", None),
            (packing, "0", None),
            (optimized, "0", ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
        ):
            options = session_options(bundle, providers.provider("cpu"), threads)
            options.add_session_config_entry("session.disable_prepacking", disable)
            if level is not None:
                options.graph_optimization_level = level
            with _timed(found):
                session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            if found is packing:
                with _timed(prompt):
                    _read(session, bundle)
            del session
    whole = median(packing)
    return {
        "reading the graph, mapping the weights": median(bare),
        "packing the weights": whole - median(bare),
        f"the first {PROMPT} tokens": median(prompt),
        "optimizing the graph, where that is done": median(optimized) - whole,
    }


def _read(session: ort.InferenceSession, bundle: Bundle) -> None:
    cache = bundle.manifest.cache
    feeds: dict[str, Any] = {tensor.past: np.zeros((1, 1, 0, tensor.width), cache.dtype) for tensor in cache.tensors}
    feeds |= {
        "input_ids": np.ones((1, PROMPT), np.int64),
        "attention_mask": np.ones((1, PROMPT), np.int64),
        "position_ids": np.arange(PROMPT)[None],
    }
    session.run(["logits"], feeds)


@contextmanager
def _timed(found: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    found.append(time.perf_counter() - started)


def _bytes(tensor: onnx.TensorProto) -> int:
    return int(np.prod(list(tensor.dims))) * np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize


def markdown(
    machine: Machine, manifest: Manifest, work: Work, int4: Sequence[Timed], steps: Sequence[Step], start: Mapping[str, float]
) -> str:
    """All tables."""
    block = manifest.recipe.block_size
    rate = next((one.gmacs for one in int4 if one.kernel.name.endswith(f" {block}")), int4[-1].gmacs)
    weights = work.int4_products / rate / 1e9
    lines = [
        f"{machine}. onnxruntime {ort.__version__}. {manifest.recipe.precision} in blocks of {block}, cache in "
        f"{manifest.cache.dtype}.",
        "",
        f"A token's weights: {work.int4_bytes / 1e6:.4g} MB for {work.int4_products / 1e6:.4g} million int4 products, and "
        f"{work.absorbed_bytes / 1e6:.3g} MB of W_UK and W_UV. Each cached token: {work.cache_bytes / 1024:.4g} KiB and "
        f"{work.attention_products / 1e6:.3g} million products.",
        "",
        "| int4 product, one row | 10^9 weights a second | GB/s |",
        "|---|---|---|",
    ]
    lines += [f"| {one.kernel.name} | {one.gmacs:.1f} | {one.gigabytes:.1f} |" for one in int4]
    lines += [
        "",
        "| decode step, ms | " + " | ".join(f"context {step.tokens:,}" for step in steps) + " |",
        "|---|" + "---|" * len(steps),
    ]

    def row(label: str, values: Sequence[float]) -> str:
        return f"| {label} | " + " | ".join(f"{value * 1e3:.3g}" for value in values) + " |"

    lines.append(row("measured", [step.seconds for step in steps]))
    lines.append(
        row(
            f"least by memory: its bytes at {machine.read_gb_per_s:.0f} GB/s",
            [step.bytes / machine.read_gb_per_s / 1e9 for step in steps],
        )
    )
    lines.append(row("least by kernels: the sum of", [step.least(weights) for step in steps]))
    lines.append(row(f"int4 products, block {block}", [weights] * len(steps)))
    for index, one in enumerate(steps[0].kernels):
        label = one.kernel.name if index < 2 else f"not in this graph: {one.kernel.name}"
        lines.append(row(label, [step.kernels[index].median for step in steps]))
    for step in steps:
        total = sum(seconds for _, seconds in step.profile.values())
        lines += ["", f"| profile of a step, context {step.tokens:,} | times | ms |", "|---|---|---|"]
        shown = list(step.profile.items())
        lines += [f"| {name} | {count} | {seconds * 1e3:.3g} |" for name, (count, seconds) in shown[:SHOWN]]
        rest = shown[SHOWN:]
        if rest:
            lines.append(
                f"| {len(rest)} others | {sum(count for _, (count, _) in rest)} | "
                f"{sum(seconds for _, (_, seconds) in rest) * 1e3:.3g} |"
            )
        lines.append(f"| all | {sum(count for count, _ in step.profile.values())} | {total * 1e3:.3g} |")
    lines += ["", "| start, within a process | s |", "|---|---|"]
    lines += [f"| {what} | {seconds:.2f} |" for what, seconds in start.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--context", default="128,4096", help="tokens in the cache, separated by commas")
    parser.add_argument("-t", "--threads", type=int)
    parser.add_argument("--rounds", type=int, default=9, help="of each kernel")
    parser.add_argument("--json", type=Path, help="also write every number here")
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    manifest, threads = bundle.manifest, thread_count(options.threads)
    if manifest.graph.provider != "cpu" or manifest.cache.form != "latent" or manifest.recipe.precision != "int4":
        raise SystemExit("the roofline is of int4 bundles for the CPU with a latent cache")
    contexts = [int(one) for one in options.context.split(",")]

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    machine = Machine.here(threads)
    work = Work.of(manifest, onnx.load(bundle.file(names.MODEL), load_external_data=False).graph)
    say("int4 products")
    int4 = int4_kernels(manifest, threads, options.rounds)
    say("decode steps")
    steps = list(measured_steps(bundle, contexts, threads, options.rounds, work))
    say("start")
    start = opening(bundle, threads, min(options.rounds, 5))
    print(markdown(machine, manifest, work, int4, steps, start))
    if options.json:
        found = {
            "machine": asdict(machine),
            "work": asdict(work),
            "int4": [_plain(one) for one in int4],
            "start": start,
            "steps": [
                {
                    "tokens": step.tokens,
                    "bytes": step.bytes,
                    "seconds": step.seconds,
                    "kernels": [_plain(one) for one in step.kernels],
                    "profile": step.profile,
                }
                for step in steps
            ],
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _plain(one: Timed) -> dict[str, Any]:
    return {"name": one.kernel.name, "products": one.kernel.products, "bytes": one.kernel.bytes, "seconds": list(one.seconds)}


if __name__ == "__main__":
    main()
