"""``youtu-onnx ps``: which of this user's processes have a bundle open."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.table import ago, print_table
from youtu_onnx.core.sizes import decimal
from youtu_onnx.inspect.running import running


def ps(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    found = running()
    if as_json:
        console.print_json({"processes": [one.to_dict() for one in found]})
        return
    if not found:
        console.note("no youtu-onnx has a bundle open")
        return
    now = time.time()
    print_table(
        ("PID", "COMMAND", "MODEL", "MEMORY", "STARTED"),
        [(str(one.pid), one.command, one.model, decimal(one.memory), ago(now - one.started)) for one in found],
    )
