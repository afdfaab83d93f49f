"""Exports in processes that are forked off where everything is imported: what is left to be killed is the export itself."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

IMPORTED = [
    "tests.core.exports_to_kill",
    "tests.kept_traces",
    "transformers",
    "youtu_onnx.cli.export",
    "youtu_onnx.exporters.bundle_writer",
]


def forks() -> ForkServerContext:
    """Where :func:`start` takes processes from; its own takes seconds to start, once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def start(context: ForkServerContext, final: Path, traces: Path) -> ForkServerProcess:
    process = context.Process(target=export_nano, args=(final, traces))
    process.start()
    return process


def export_nano(final: Path, traces: Path) -> None:
    """The command line's export, which replaces what is there. Ends this process."""
    from tests.kept_traces import keep_traces
    from youtu_onnx.cli import main

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    keep_traces(traces)
    sys.exit(main(["export", "-m", "youtu-nano", "-o", str(final), "--no-verify", "--force"]))
