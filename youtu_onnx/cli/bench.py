"""``youtu-onnx bench``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from youtu_onnx.bench import Benchmark, Plan
from youtu_onnx.bench.render import RENDERERS
from youtu_onnx.cli import console
from youtu_onnx.cli.options import BundleFolder, RequiredProviderArguments
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.errors import UsageError

FORMATS = ("table", "csv", "json", "md")


@dataclass(frozen=True)
class PlanArguments:
    """What is measured."""

    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt", "-p", metavar="N,…", help="Tokens of a prompt; 0: no such test. Default: 512, none with --scenario."
        ),
    ] = None
    generate: Annotated[
        list[str] | None,
        typer.Option("--generate", "-n", metavar="N,…", help="Tokens generated one by one. Default: 128, none with --scenario."),
    ] = None
    depth: Annotated[
        list[str] | None, typer.Option("--depth", "-d", metavar="N,…", help="Tokens that are in the cache already. Default: 0.")
    ] = None
    batch: Annotated[
        list[str] | None, typer.Option("--batch", "-b", metavar="N,…", help="Sequences that are stepped together. Default: 1.")
    ] = None
    threads: Annotated[
        list[str] | None,
        typer.Option("--threads", "-t", metavar="N,…", help="Threads on the CPU. Default: one per physical core."),
    ] = None
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,…", help="A prompt and its reply: qa, math, code, chat (32+128, 64+256, 48+200, 128+150 tokens)."
        ),
    ] = None
    repetitions: Annotated[int, typer.Option("--repetitions", "-r", help="Runs of each test.")] = 5
    warmup: Annotated[bool, typer.Option("--warmup/--no-warmup", help="Run each test once before it is measured.")] = True

    def plan(self) -> Plan:
        """
        Raises:
            UsageError: what should be numbers isn't, or a plan that can't be.
        """
        scenarios = _listed(self.scenario)
        return Plan(
            prompts=_numbers("--prompt", self.prompt, () if scenarios else (512,)),
            generate=_numbers("--generate", self.generate, () if scenarios else (128,)),
            depths=_numbers("--depth", self.depth, (0,)),
            batches=_numbers("--batch", self.batch, (1,)),
            threads=_numbers("--threads", self.threads, ()),
            scenarios=scenarios,
            repetitions=self.repetitions,
            warmup=self.warmup,
        )


def bench(
    bundle: BundleFolder,
    *,
    tests: PlanArguments,
    output: Annotated[str | None, typer.Option("--output", "-o", help="table (default), csv, json or md.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --output json.")] = False,
    where: RequiredProviderArguments,
) -> None:
    form, choice, plan = _format(output, as_json), where.choice(), tests.plan()
    shown = progress(bar=False)  # a bar moves by itself, in time that is being measured
    benchmark = Benchmark.open(bundle, plan, choice, progress=shown)
    try:
        benchmark.run(shown)
    finally:  # broken off by Ctrl-C or an error, it still has what was measured
        report = benchmark.report()
        if form == "json":
            console.print_json(report.to_dict())
        else:
            typer.echo(RENDERERS[form](report), nl=False)
        benchmark.close()


def _format(output: str | None, as_json: bool) -> str:
    if as_json and output not in (None, "json"):
        raise UsageError(f"--json and --output {output} are two formats", hint="pass one of them")
    chosen = "json" if as_json else output or "table"
    if chosen not in FORMATS:
        raise UsageError(f"unknown output format {chosen!r}", hint=f"choose one of: {', '.join(FORMATS)}")
    return chosen


def _listed(given: list[str] | None) -> tuple[str, ...]:
    """``-p 1,2 -p 3`` → 1, 2, 3; each once."""
    parts = (part.strip() for one in given or () for part in one.split(","))
    return tuple(dict.fromkeys(filter(None, parts)))


def _numbers(option: str, given: list[str] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if given is None:
        return default
    try:
        numbers = tuple(dict.fromkeys(int(part) for part in _listed(given)))
    except ValueError as error:
        raise UsageError(
            f"{option} {','.join(given)}: not whole numbers", hint=f"write them like this: {option} 128,512"
        ) from error
    if not numbers:
        raise UsageError(f"{option} has no number", hint=f"write it like this: {option} 512")
    return numbers
