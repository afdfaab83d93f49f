"""``youtu-onnx evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.cli import console, options


def evaluate(
    bundle: options.BundleFolder,
    problems: Annotated[
        Path | None, typer.Option(help="JSON Lines of problems; the default is youtu-nano's held-out set.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest reply in tokens.")] = 160,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, wrong answers included.")] = False,
    provider: options.Provider = None,
    device: options.Device = None,
    memory_limit: options.MemoryLimit = None,
    tf32: options.Tf32 = None,
    provider_option: options.ProviderOption = None,
    require_provider: options.RequireProvider = False,
    runtime: options.Runtime = "ort",
    threads: options.Threads = None,
    prompt_lookup: options.PromptLookupFlag = False,
    draft_tokens: options.DraftTokens = None,
) -> None:
    """Count the held-out problems that a bundle answers right."""
    from youtu_onnx.chat.model import load
    from youtu_onnx.evaluate.problems import HELD_OUT, read_problems
    from youtu_onnx.evaluate.problems import evaluate as run

    chosen = options.provider_options(device, memory_limit, tf32, provider_option)
    lookup = options.prompt_lookup(prompt_lookup, draft_tokens)
    listed = read_problems(problems or HELD_OUT)
    with load(
        bundle,
        provider=provider,
        runtime=runtime,
        threads=threads,
        prompt_lookup=lookup,
        provider_options=chosen,
        require_provider=require_provider,
    ) as model:
        made = run(model, listed, max_tokens=max_tokens, progress=console.progress())
    if as_json:
        typer.echo(json.dumps(made.to_dict(), ensure_ascii=False))
        return
    for family in made.families:
        typer.echo(f"{family:14s} {_share(*made.score(family=family))}")
    for language in made.languages:
        typer.echo(f"{language:14s} {_share(*made.score(language=language))}")
    typer.echo(f"{'all':14s} {_share(*made.score())}")


def _share(right: int, total: int) -> str:
    return f"{right:4d} of {total:4d}  {right / total:6.1%}"
