"""``youtu-onnx verify``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len, set_cell_size

from youtu_onnx.cli import console, options
from youtu_onnx.core.errors import VerificationError

if TYPE_CHECKING:
    from youtu_onnx.verify.difference import Difference
    from youtu_onnx.verify.parity import Parity

MARKS = {True: "ok", False: "FAILED", None: "note"}


def verify(
    bundle: options.BundleFolder,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="DIR_OR_HUB_ID", help="Compare with this checkpoint in PyTorch, too.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the hub's local cache only.")] = False,
    provider: options.Provider = None,
    device: options.Device = None,
    memory_limit: options.MemoryLimit = None,
    tf32: options.Tf32 = None,
    provider_option: options.ProviderOption = None,
    require_provider: options.RequireProvider = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Check a bundle: files, graph, and (with --model) that it computes what PyTorch computes. Exit code 3: it doesn't."""
    from youtu_onnx.verify.verify import verify_bundle

    chosen = options.provider_options(device, memory_limit, tf32, provider_option)
    checkpoint = None
    if model is not None:
        from youtu_onnx.families.checkpoint import Checkpoint

        checkpoint = Checkpoint.open(model, revision=revision, offline=offline)
    progress = console.progress()
    try:
        found = verify_bundle(bundle, checkpoint, progress, provider=provider, options=chosen, require_provider=require_provider)
    finally:
        progress.finish()
    if as_json:
        typer.echo(json.dumps({"bundle": str(bundle)} | found.to_dict(), ensure_ascii=not console.stdout_is_utf8()))
    else:
        for check in found.checks:
            typer.echo(f"{MARKS[check.passed]:<6}  {check.name:<13}  {check.detail}")
        if found.parity is not None:
            _print_parity(found.parity)
        elif model is None:
            typer.echo(f"{'note':<6}  {'parity':<13}  not compared with PyTorch: name the checkpoint with --model")
    if not found.passed:
        raise typer.Exit(VerificationError.exit_code)


def _print_differences(title: str, paths: Mapping[str, Difference]) -> None:
    typer.echo(f"\n{title}")
    typer.echo(
        f"{'path':<9} {'positions':>9} {'max |Δlogit|':>13} {'rel. error':>10} {'mean KL':>9} {'max KL':>9} "
        f"{'KL share':>9} {'correlation':>11} {'top-1':>7}"
    )
    for name, d in paths.items():
        typer.echo(
            f"{name:<9} {d.positions:>9} {d.max_abs:>13.3g} {d.relative_error:>10.2g} {d.mean_kl:>9.2g} {d.max_kl:>9.2g} "
            f"{d.kl_share:>9.2g} {d.correlation:>11.6f} {d.top1:>7.1%}"
        )


def _print_parity(parity: Parity) -> None:
    typer.echo(f"{MARKS[parity.passed]:<6}  {'parity':<13}  {parity.summary()}")
    _print_differences("against PyTorch with the checkpoint's weights", parity.paths)
    if parity.graph != parity.paths:
        _print_differences("against PyTorch with the weights rounded as the bundle stores them", parity.graph)
    typer.echo()
    typer.echo(f"{'prompt':<50} {'tokens':>6} {'mean KL':>9} {'top-1':>7} {'greedy':>7}")
    for prompt in parity.prompts:
        d = prompt.paths["prefill"]
        text = set_cell_size(prompt.prompt if cell_len(prompt.prompt) <= 48 else prompt.prompt[:46] + "…", 50)  # CJK is wide
        greedy = f"{prompt.greedy_equal}/{prompt.greedy_steps}"
        typer.echo(f"{text} {prompt.tokens:>6} {d.mean_kl:>9.2g} {d.top1:>7.1%} {greedy:>7}")
    for fault in parity.faults:
        typer.echo(f"FAILED  {fault}")
