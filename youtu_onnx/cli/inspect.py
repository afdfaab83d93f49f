"""``youtu-onnx inspect``."""

from __future__ import annotations

from typing import Annotated

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.options import BundleFolder
from youtu_onnx.conformance import TABLES
from youtu_onnx.core.errors import UsageError
from youtu_onnx.inspect.description import conformance, facts
from youtu_onnx.inspect.inspection import inspect_bundle


def inspect(
    bundle: BundleFolder,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-e", help="Also print where this target's provider would run the nodes: cuda, dml, webgpu or web-wasm."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    if target is not None and target not in TABLES:
        raise UsageError(f"no table of kernels for target {target!r}", hint=f"choose one of: {', '.join(TABLES)}")
    found = inspect_bundle(bundle)
    if as_json:
        console.print_json(found.to_dict())
        return
    for name, value in [*facts(found), *(conformance(found, target) if target else [])]:
        typer.echo(f"{name:<13} {value}".rstrip())
