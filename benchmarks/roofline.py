"""What bounds a decode step and the start on this machine: bytes, products, single kernels, and a profile by operator.

    python -m benchmarks.roofline BUNDLE [--context 128,4096] [--threads N] [--rounds 9] [--kernels native] [--json FILE]

For an int4 bundle with a latent cache exported for the CPU. Prints Markdown. Each *kernel* is an operator alone, ONNX Runtime's
or, with the native kernels, ours, at the model's shapes, its right operands read from memory (``benchmarks/kernels.py``). *Least
by kernels* is what a step would take if it consisted of its int4 products and attention's two products alone, at those speeds.
Native operators are a whole layer between them, so each says what it reads and computes in a step, and how fast.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from benchmarks.decode_step import Model, Step, Work, int4_kernels, measured_steps
from benchmarks.kernels import Timed
from benchmarks.measured_machine import MeasuredMachine
from benchmarks.start import native_start, start
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.runtimes.ort.session import ONNXRUNTIME
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers.options import ProviderOptions

SHOWN = 12
"""Operators of a profile that get a row of their own."""


def markdown(
    machine: MeasuredMachine,
    manifest: Manifest,
    work: Work,
    int4: Sequence[Timed],
    steps: Sequence[Step],
    started: Mapping[str, float],
    kernels: str,
) -> str:
    """All tables. ``kernels``: whose compute the step."""
    block = manifest.recipe.block_size
    rate = next((one.gmacs for one in int4 if one.kernel.name.endswith(f" {block}")), int4[-1].gmacs)
    weights = work.int4_products / rate / 1e9
    lines = [
        f"{machine}. onnxruntime {ort.__version__}, kernels: {kernels}. {manifest.recipe.precision} in blocks of {block}, cache "
        f"in {manifest.cache.dtype}.",
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
    if steps[0].kernels:
        lines.append(row("least by kernels: the sum of", [step.least(weights) for step in steps]))
    lines.append(row(f"int4 products, block {block}", [weights] * len(steps)))
    for index, one in enumerate(steps[0].kernels):
        label = one.kernel.name if index < 2 else f"not in this graph: {one.kernel.name}"
        lines.append(row(label, [step.kernels[index].median for step in steps]))
    if kernels != ONNXRUNTIME:
        lines += _shares(work, steps, machine.read_gb_per_s)
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
    lines += [f"| {what} | {seconds:.2f} |" for what, seconds in started.items()]
    return "\n".join(lines) + "\n"


def _shares(work: Work, steps: Sequence[Step], gigabytes: float) -> list[str]:
    """What each kind of native operator reads and computes in a step, and what is left of the time."""
    lines = []
    for step in steps:
        lines += [
            "",
            f"| context {step.tokens:,} | MB | ms | GB/s | of memory's | 10^9 products a second |",
            "|---|---|---|---|---|---|",
        ]
        others = 0.0
        for name, (_, seconds) in step.profile.items():
            size, products = work.of_operator(name, step.tokens)
            if not size:
                others += seconds
                continue
            rate = size / seconds / 1e9
            lines.append(
                f"| {name} | {size / 1e6:.4g} | {seconds * 1e3:.3g} | {rate:.3g} | {rate / gigabytes:.0%} | "
                f"{products / seconds / 1e9:.3g} |"
            )
        lines.append(f"| all other operators | | {others * 1e3:.2g} | | | |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--context", default="128,4096", help="tokens in the cache, separated by commas")
    parser.add_argument("-t", "--threads", type=int)
    parser.add_argument("--rounds", type=int, default=9, help="of each kernel")
    parser.add_argument("--kernels", choices=("native", ONNXRUNTIME), help="default: native ones where they are installed")
    parser.add_argument("--json", type=Path, help="also write every number here")
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    manifest, threads = bundle.manifest, thread_count(options.threads)
    if manifest.graph.provider != "cpu" or manifest.cache.form != "latent" or manifest.recipe.precision != "int4":
        raise SystemExit("the roofline is of int4 bundles for the CPU with a latent cache")
    contexts = [int(one) for one in options.context.split(",")]

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    machine = MeasuredMachine.here(threads)
    work = Work.of(manifest, onnx.load(bundle.file(names.MODEL), load_external_data=False).graph)
    say("int4 products")
    chosen = ProviderOptions(kernels=options.kernels)
    model = Model(bundle, threads, chosen)
    kernels, native = model.kernels, model.native
    del model
    int4 = int4_kernels(manifest, threads, options.rounds, native=native)
    say("decode steps")
    steps = list(measured_steps(bundle, contexts, threads, options.rounds, work, chosen))
    say("start")
    started = (native_start if native else start)(bundle, threads, min(options.rounds, 5))
    print(markdown(machine, manifest, work, int4, steps, started, kernels))
    if options.json:
        found = {
            "machine": asdict(machine),
            "kernels": kernels,
            "work": asdict(work),
            "int4": [_plain(one) for one in int4],
            "start": started,
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
