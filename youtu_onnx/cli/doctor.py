"""``youtu-onnx doctor``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.cli import console, options
from youtu_onnx.core.errors import ProviderError, UsageError, YoutuOnnxError

if TYPE_CHECKING:
    from youtu_onnx.runtimes.ort.placement import Placement
    from youtu_onnx.runtimes.providers.options import ProviderOptions


def doctor(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="BUNDLE", help="Open this bundle too, and say where its nodes run.", show_default=False),
    ] = None,
    provider: options.Provider = None,
    device: options.Device = None,
    memory_limit: options.MemoryLimit = None,
    tf32: options.Tf32 = None,
    provider_option: options.ProviderOption = None,
    require_provider: options.RequireProvider = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Say what this machine has and what is missing. Exit code 4: no bundle, or not this one, can run here."""
    from youtu_onnx.inspect.doctor import CPU_FLAGS, PURPOSES, diagnose

    chosen = options.provider_options(device, memory_limit, tf32, provider_option)
    if bundle is None and (provider is not None or chosen or require_provider):
        raise UsageError("a provider and its options are for a bundle to open", hint="youtu-onnx doctor BUNDLE --provider …")
    found = diagnose()
    placement: Placement | None = None
    failure: YoutuOnnxError | None = None
    if bundle is not None:
        try:
            placement = _placement(bundle, provider, chosen, require_provider)
        except YoutuOnnxError as error:  # what was found out about the machine is told all the same
            failure = error
    if as_json:
        opened = (
            {}
            if bundle is None
            else {
                "bundle": str(bundle),
                "placement": placement and placement.to_dict(),
                "failure": failure and failure.message,
                "advice": failure and failure.hint,
            }
        )
        typer.echo(json.dumps(found.to_dict() | opened, ensure_ascii=not console.stdout_is_utf8()))
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
            listed = ", ".join(
                f"{p.name} {p.version or 'MISSING'}{'' if p.good or not p.version else ' (too old)'}"
                for p in found.packages
                if p.extra == extra
            )
            typer.echo(f"packages   for {purpose}: {listed}")
        for missing in found.missing:
            typer.echo(f"missing    {missing.what}")
            typer.echo(f"           → {missing.command}")
        if placement is not None:
            _print(placement)
    if failure is not None:
        raise failure
    if not found.can_run:
        raise typer.Exit(ProviderError.exit_code)


def _placement(path: Path, provider: str | None, chosen: ProviderOptions, required: bool) -> Placement:
    from youtu_onnx.core.bundle import Bundle
    from youtu_onnx.runtimes.ort.model import OrtModel

    model = OrtModel(Bundle.open(path), provider, options=chosen, require_provider=required)
    try:
        return model.placement
    finally:
        model.close()


def _print(placement: Placement) -> None:
    """The nodes' providers, and what others than the bundle's run, by reason."""
    typer.echo(f"nodes      {placement.summary()}")
    kinds: dict[tuple[str, str | None], Counter[str]] = {}
    for stray in placement.strays:
        kinds.setdefault((stray.provider, stray.reason), Counter())[stray.op] += 1
    for (name, reason), ops in kinds.items():
        listed = ", ".join(f"{op} {count}" for op, count in ops.most_common())
        typer.echo(f"           {name} has {listed}: {reason or f'UNEXPECTED, they belong on {placement.provider}'}")
