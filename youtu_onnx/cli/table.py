"""Rows of text in columns, and times, as other programs print them."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.cells import cell_len

from youtu_onnx.cli import console


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """To stdout; a column is as wide on the screen as its widest text."""
    lines = [head, *([console.printable(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        padded = (f"{cell}{' ' * (width - cell_len(cell))}" for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def ago(seconds: float) -> str:
    """``now``, ``5 min ago``, ``3 h ago``, ``12 days ago``."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{int(seconds // size)} {unit} ago"
    return "now"
