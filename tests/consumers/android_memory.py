"""What opening a mobile folder costs in memory, on Linux:

    YOUTU_ONNX_ANDROID_TOOLS=TOOLS python -m tests.consumers.android_memory [--tokens N] FOLDER…

A row for each folder as the Android core opens it (``model.ort`` mapped, ``model.onnx`` by path), and one more for a
``model.ort`` that is opened by path. MB of a fresh process, less what it had before it opened the graph: ``anonymous`` is memory
that only this process can give back, ``file`` is pages of mapped files, which the system drops when it needs the room, both
after a prefill of N tokens (64), 32 at a time, and a step of one; ``peak`` is the most that both had been at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cli_process import ROOT
from tests.consumers import android_tools
from tests.vectors.make import FILE

ANDROID = ROOT / "runtimes" / "consumers" / "android"

BY_PATH = """
import json, sys
import numpy, onnxruntime
from tests.consumers.aarch64_steps import Steps

def held(name):
    fields = dict(line.split(":") for line in open("/proc/self/status") if line.startswith(("Rss", "VmHWM")))
    print(json.dumps({name: {key: int(value.split()[0]) for key, value in fields.items()}}))

held("before")
steps = Steps(*sys.argv[1:3])
held("opened")
for start in range(0, int(sys.argv[3]), 32):
    steps.run([7 * i % 1000 for i in range(min(32, int(sys.argv[3]) - start))])
steps.run([5])
held("after steps")
"""


def main(folders: list[Path], tokens: int) -> None:
    tools = Path(os.environ[android_tools.VARIABLE])
    print(f"{'folder':<12} {'graph':<24} {'anonymous':>10} {'file':>8} {'peak':>8} {'opened in':>10}")
    with tempfile.TemporaryDirectory() as place:
        jar = Path(place) / "core.jar"
        sources = [ANDROID / "core" / "src" / "main" / "kotlin", ANDROID / "jvm"]
        android_tools.compile_core(tools, sources, jar).check_returncode()
        for folder in folders:
            graph = json.loads((folder / "model.json").read_text())["graph"]
            mapped = graph.endswith(".ort")
            done = android_tools.java(tools, Path(place) / "native", jar, folder, FILE, str(tokens))
            _print(folder, f"{graph} {'mapped' if mapped else 'by path'}", done)
            if mapped:
                command = [sys.executable, "-c", BY_PATH, folder / graph, folder / "model.json", str(tokens)]
                _print(folder, f"{graph} by path", subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False))


def _print(folder: Path, how: str, done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        sys.exit(done.stderr)
    found = {name: value for line in done.stdout.splitlines() for name, value in json.loads(line).items()}
    before, after = found["before"], found["after steps"]
    anonymous, file = ((after[name] - before[name]) / 1e3 for name in ("RssAnon", "RssFile"))
    peak = (after["VmHWM"] - before["RssAnon"] - before["RssFile"]) / 1e3
    seconds = found["opened"].get("seconds")
    print(
        f"{folder.name:<12} {how:<24} {anonymous:>7,.0f} MB {file:>5,.0f} MB {peak:>5,.0f} MB"
        f" {'' if seconds is None else f'{seconds:.1f} s':>10}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    arguments = parser.parse_args()
    main(arguments.folders, arguments.tokens)
