"""``youtu-onnx doctor``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from youtu_onnx.cli import console
from youtu_onnx.errors import ProviderError


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False) -> None:
    """Say what this machine has and what is missing. Exit code 4: no bundle can run here."""
    from youtu_onnx.doctor import CPU_FLAGS, PURPOSES, diagnose

    found = diagnose()
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=not console.stdout_is_utf8()))
    else:
        flags = ", ".join(found.cpu_flags or ()) or f"none of {', '.join(CPU_FLAGS)}"
        if found.cpu_flags is None:
            flags = "this system doesn't tell its features"
        typer.echo(f"python     {found.python}")
        typer.echo(f"system     {found.system}")
        typer.echo(f"processor  {found.cpu}, {found.cores} cores: {flags}")
        typer.echo(f"memory     {found.memory_available / 1e9:.1f} GB available of {found.memory_total / 1e9:.1f} GB")
        typer.echo(f"disk       {found.disk_free / 1e9:.1f} GB free here")
        for number, one in enumerate(found.providers):
            typer.echo(f"{'' if number else 'providers':<10} {'ok' if one.works else 'FAILED':<6}  {one.provider}: {one.detail}")
        for extra, purpose in PURPOSES.items():
            listed = ", ".join(f"{p.name} {p.version or 'MISSING'}{'' if p.good or not p.version else ' (too old)'}"
                               for p in found.packages if p.extra == extra)
            typer.echo(f"packages   for {purpose}: {listed}")
        for missing in found.missing:
            typer.echo(f"missing    {missing.what}")
            typer.echo(f"           → {missing.command}")
    if not found.can_run:
        raise typer.Exit(ProviderError.exit_code)
