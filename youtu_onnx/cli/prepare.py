"""``youtu-onnx prepare``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.options import BundleFolder
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError, VerificationError
from youtu_onnx.runtimes.native import library, named
from youtu_onnx.runtimes.ort import prepared, preparing

Row = tuple[str, str]


def prepare(
    bundle: BundleFolder,
    serve: Annotated[
        bool, typer.Option("--serve", help="Copy the graph that answers several at once, which youtu-onnx serve runs, instead.")
    ] = False,
    native: Annotated[
        bool,
        typer.Option(
            "--native", help="Write native.onnx into the bundle: its graph for programs that register the native kernels by path."
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Hash every byte of the copies. Exit code 3: damaged.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the copies; the bundle need not be there any more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    if check and remove:
        raise UsageError("--check and --remove are two things to do", hint="pass one of them")
    if serve and (check or remove):
        raise UsageError("--check and --remove are about all copies of the bundle", hint="drop --serve")
    if native and (serve or check or remove):
        raise UsageError("--native writes a file and makes no copy", hint="pass it alone")
    made = _native(bundle) if native else _remove(bundle) if remove else _check(bundle) if check else _make(bundle, serve)
    result, lines = made
    if as_json:
        console.print_json({"bundle": str(bundle)} | result)
    else:
        for name, text in lines:
            typer.echo(f"{name:<9} {text}")
    if result.get("passed") is False:
        raise typer.Exit(VerificationError.exit_code)


def _make(path: Path, serve: bool) -> tuple[dict[str, Any], list[Row]]:
    found, new = preparing.make(Bundle.open(path), progress(), names.BATCH if serve else names.MODEL)
    if library.found() is not None:
        console.note("the native kernels read weights as they are and don't use it; --kernels onnxruntime does")
    if os.environ.get(prepared.VARIABLE) == "0":
        console.note(f"it isn't used as long as {prepared.VARIABLE}=0 is set")
    before, after = found.load_seconds
    result = {
        "graph": found.graph,
        "folder": str(found.folder),
        "made": new,
        "created": found.created,
        "bytes": found.size,
        "packed_bytes": found.packed,
        "load_seconds": {"bundle": before, "prepared": after},
    }
    return result, [
        ("prepared", f"{found.folder}{'' if new else ' (it was there already)'}"),
        ("size", f"{found.size / 1e6:,.1f} MB on disk"),
        ("saves", f"{found.packed / 1e6:,.1f} MB of memory in every process that runs it on the CPU; all share the file"),
        ("opens in", f"{after:.2f} s instead of {before:.2f} s"),
    ]


def _native(path: Path) -> tuple[dict[str, Any], list[Row]]:
    made = named.write(Bundle.open(path))
    kernels = library.found()
    path_of = str(kernels.path) if kernels else None
    counts = ", ".join(f"{count} {name}" for name, count in made.operators.items())
    result = {"graph": str(made.graph), "operators": dict(made.operators), "library": path_of}
    return result, [("graph", f"{made.graph}: {counts}"), ("library", path_of or f"not installed here: {library.INSTALL}")]


def _check(path: Path) -> tuple[dict[str, Any], list[Row]]:
    bundle = Bundle.open(path)
    copies: list[dict[str, Any]] = []
    lines: list[Row] = []
    for graph in prepared.made_of(bundle):
        folder, fault = prepared.check(bundle, progress(), graph)
        copies.append({"graph": graph, "folder": str(folder), "fault": fault})
        lines.append(("ok" if fault is None else "FAILED", f"{graph} in {folder}: {fault or 'every byte is as it was made'}"))
    passed = not any(copy["fault"] for copy in copies)
    if not passed:
        again = console.quoted(path)
        steps = [f"youtu-onnx prepare {again} --remove", *(prepared.command(again, copy["graph"]) for copy in copies)]
        lines.append(("", f"make it again: {' && '.join(steps)}"))
    return {"passed": passed, "copies": copies}, lines


def _remove(path: Path) -> tuple[dict[str, Any], list[Row]]:
    gone = preparing.remove(path)
    lines = [("removed", str(folder)) for folder in gone] or [("removed", f"nothing: {path} has no prepared copy")]
    return {"removed": [str(folder) for folder in gone]}, lines
