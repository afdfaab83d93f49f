"""What a full-size int4 export costs, beside its peers: wall time, peak resident memory, bytes written.

    python -m benchmarks.export_cost /path/of/youtu-2b-random --scratch /path [--llama-cpp FOLDER] [--genai-llama CHECKPOINT]

The checkpoint is one that ``benchmarks.make_checkpoint`` made. llama.cpp converts the same one. onnxruntime-genai's builder
refuses Youtu, so it gets a Llama of like size (``make_checkpoint --llama``). Each tool runs as its own process; the peak is the
kernel's count for it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.llama_cpp import LlamaCpp


@dataclass(frozen=True)
class Cost:
    """One tool's run. ``peak_gb`` is resident memory in units of 10^9 bytes."""

    tool: str
    seconds: float
    peak_gb: float
    output_gb: float


def measure(tool: str, command: list[str], output: Path) -> Cost:
    """Run a command to its end; what it wrote to ``output`` is counted.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{tool} failed:\n{said.decode(errors='replace')[-2000:]}")
    written = sum(path.stat().st_size for path in [output, *output.rglob("*")] if path.is_file())
    return Cost(tool, seconds, usage.ru_maxrss * 1024 / 1e9, written / 1e9)


def costs(options: argparse.Namespace) -> Iterator[Cost]:
    scratch: Path = options.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    ours = [sys.executable, "-m", "youtu_onnx.cli", "export", "-m", str(options.checkpoint), "--force"]
    for what, more in (("checks, no parity", ["--no-verify"]), ("with parity against PyTorch", [])):
        out = scratch / "youtu-int4"
        yield measure(f"youtu-onnx int4, {what}", [*ours, "-o", str(out), *more], out)
    if options.llama_cpp:
        llama = LlamaCpp.find_or_build(options.llama_cpp)
        half, quarter = scratch / "f16.gguf", scratch / "q4_0.gguf"
        yield measure("llama.cpp convert to f16", llama.convert_command(options.checkpoint, half), half)
        yield measure("llama.cpp quantize to Q4_0", llama.quantize_command(half, quarter), quarter)
        half.unlink()
    if options.genai_llama:
        out = scratch / "genai"
        shutil.rmtree(out, ignore_errors=True)
        yield measure(
            "onnxruntime-genai builder int4, Llama of like size",
            [
                sys.executable,
                "-m",
                "onnxruntime_genai.models.builder",
                "-m",
                str(options.genai_llama),
                "-o",
                str(out),
                "-p",
                "int4",
                "-e",
                "cpu",
                "-c",
                str(scratch / "genai-cache"),
            ],
            out,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--llama-cpp", type=Path, help="folder of a llama.cpp build, or where to make one")
    parser.add_argument("--genai-llama", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for cost in costs(options):
        found.append(asdict(cost))
        if not options.json:
            print(f"| {cost.tool} | {cost.seconds:.0f} s | {cost.peak_gb:.2f} GB | {cost.output_gb:.2f} GB |", flush=True)
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
