"""``youtu-onnx verify``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.cells import cell_len, set_cell_size

from youtu_onnx.cli import console
from youtu_onnx.cli.options import BundleFolder, MergedAdapter, Offline, RequiredProviderArguments, Revision
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.errors import VerificationError
from youtu_onnx.families.adapters.choice import merged_adapter
from youtu_onnx.families.adapters.merging import open_merged
from youtu_onnx.verify.difference import Difference
from youtu_onnx.verify.parity import Parity
from youtu_onnx.verify.verify import verify_bundle

MARKS = {True: "ok", False: "FAILED", None: "note"}


def verify(
    bundle: BundleFolder,
    *,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="DIR_OR_HUB_ID", help="Compare with this checkpoint in PyTorch, too.")
    ] = None,
    adapter: MergedAdapter = None,
    revision: Revision = None,
    offline: Offline = False,
    where: RequiredProviderArguments,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    chosen, merged = where.choice(), merged_adapter(model, adapter)
    checkpoint = None if model is None else open_merged(model, merged, revision=revision, offline=offline)
    shown = progress()
    try:
        found = verify_bundle(
            bundle, checkpoint, shown, provider=chosen.name, options=chosen.options, require_provider=chosen.required
        )
    finally:
        shown.finish()
    if as_json:
        console.print_json({"bundle": str(bundle)} | found.to_dict())
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
