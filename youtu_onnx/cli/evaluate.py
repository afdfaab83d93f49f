"""``youtu-onnx evaluate``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.chat.opening import OpeningOptions, open_model
from youtu_onnx.cli import console
from youtu_onnx.cli.opening_arguments import OpeningArguments
from youtu_onnx.cli.options import BundleFolder, MergedAdapter, Offline, Revision
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.evaluate import reasoning
from youtu_onnx.evaluate.distance import Distance
from youtu_onnx.evaluate.evaluation import evaluate as evaluate_model
from youtu_onnx.evaluate.language import BUILT_IN, Language, measure
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems
from youtu_onnx.explain.explanation import writes_steps
from youtu_onnx.families.adapters.choice import merged_adapter
from youtu_onnx.families.adapters.merging import open_merged
from youtu_onnx.inspect.inspection import inspect_bundle
from youtu_onnx.text.passages import passages
from youtu_onnx.verify.comparing import refuse_another_shape

NANO, MICROREASON = "youtu-nano", "microreason"


@dataclass(frozen=True)
class TaskArguments:
    """Which of the package's problems are asked."""

    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Ask youtu-nano's held-out problems, or microreason's: by family, with 95 % intervals and the share of steps "
            "that their verifiers find valid. Default: those that the bundle's family writes.",
            show_default=False,
        ),
    ] = None
    count: Annotated[
        int | None,
        typer.Option(
            help="Of microreason's problems, so many different ones of each family, or as many as are held out. Default: 20.",
            show_default=False,
        ),
    ] = None
    level: Annotated[
        int | None,
        typer.Option(help="Of microreason's problems: 1 to 4, 4 is harder than trained. Default: 1 to 3.", show_default=False),
    ] = None
    seed: Annotated[int | None, typer.Option(help="Of microreason's problems. Default: 0.", show_default=False)] = None

    @property
    def given(self) -> list[str]:
        """Options that were given."""
        return [f"--{one.name}" for one in fields(self) if getattr(self, one.name) is not None]

    def chosen(self, bundle: Path) -> str:
        """
        Raises:
            UsageError: no such tasks, or a choice that changes nothing of them.
            BundleError: no bundle.
        """
        name = self.tasks or (MICROREASON if writes_steps(Bundle.open(bundle)) else NANO)
        if name not in (NANO, MICROREASON):
            raise UsageError(f"no tasks {name!r}", hint=f"choose one of: {NANO}, {MICROREASON}")
        if name == NANO and (more := [one for one in self.given if one != "--tasks"]):
            raise UsageError(
                f"{more[0]} is of microreason's problems", hint=f"drop {' and '.join(more)}, or add --tasks microreason"
            )
        return name


def evaluate(
    bundle: BundleFolder,
    *,
    problems: Annotated[
        Path | None,
        typer.Option(help="JSON Lines of problems; the default is youtu-nano's held-out set, or MicroReason's problems for it."),
    ] = None,
    tasks: TaskArguments,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Longest reply in tokens. Default: 160, and for microreason's problems 512.", show_default=False),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="Measure perplexity on this text instead; may be repeated. With --model the default is a built-in one."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="DIR_OR_HUB_ID",
            help="Measure how far the bundle's predictions are from this checkpoint's, too.",
        ),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE",
            help="With --model, measure this bundle of the same checkpoint, too, and say what the other adds: what an int8 cache "
            "costs beside a float one.",
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Of the text, so many tokens at most.")] = 4096,
    window: Annotated[int, typer.Option(help="Tokens of a passage; each is read from its beginning.")] = 512,
    adapter: MergedAdapter = None,
    revision: Revision = None,
    offline: Offline = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, wrong answers included.")] = False,
    opening: OpeningArguments,
) -> None:
    how, merged = opening.options(), merged_adapter(model, adapter)
    if beside is not None and model is None:
        raise UsageError("--beside is a second bundle's distance from a checkpoint", hint="name the checkpoint with --model")
    if text or model:
        if problems is not None or tasks.given:
            raise UsageError(
                "problems are asked, and text is read: that are two measurements",
                hint="drop --problems and what is about them, or --text and --model",
            )
        checkpoint = None if model is None else open_merged(model, merged, revision=revision, offline=offline)
        with ExitStack() as stack:
            opened = stack.enter_context(open_model(bundle, how))
            other = None if beside is None else stack.enter_context(open_model(beside, how))
            if other is not None and checkpoint is not None:
                refuse_another_shape(other.bundle, checkpoint)
            cut = passages(text or [BUILT_IN], opened.tokenizer, opened.template, window=window, tokens=tokens)
            second = None if other is None else other.decoder
            found = measure(opened.bundle, opened.decoder, cut, checkpoint, progress(), second)
        bits = inspect_bundle(opened.bundle.path).bits_per_weight
        if as_json:
            console.print_json(found.to_dict() | {"bits_per_weight": round(bits, 3)})
        else:
            _print_language(found, bits, opened.decoder.vocab_size)
        return
    if problems is not None and tasks.given:
        raise UsageError("--problems says which problems are asked", hint=f"drop {' and '.join(tasks.given)}, or --problems")
    if problems is None and tasks.chosen(bundle) == MICROREASON:
        _reason(bundle, how, tasks, max_tokens, as_json)
        return
    listed = read_problems(problems or HELD_OUT)
    with open_model(bundle, how) as opened:
        made = evaluate_model(opened, listed, max_tokens=160 if max_tokens is None else max_tokens, progress=progress())
    if as_json:
        console.print_json(made.to_dict())
        return
    for family in made.families:
        typer.echo(f"{family:14s} {_share(*made.score(family=family))}")
    for language in made.languages:
        typer.echo(f"{language:14s} {_share(*made.score(language=language))}")
    typer.echo(f"{'all':14s} {_share(*made.score())}")


def _reason(bundle: Path, how: OpeningOptions, tasks: TaskArguments, max_tokens: int | None, as_json: bool) -> None:
    asked = reasoning.problems(20 if tasks.count is None else tasks.count, tasks.seed or 0, tasks.level)
    with open_model(bundle, how) as opened:
        made = reasoning.solve(opened, asked, max_tokens=512 if max_tokens is None else max_tokens, progress=progress())
    if as_json:
        console.print_json(made.to_dict())
        return
    for family in (*made.families, None):
        score = made.score(family)
        low, high = score.interval
        certain = f"{low:6.1%} to {high:6.1%}"
        typer.echo(f"{family or 'all':14s} {_share(score.right, score.total)}  {certain}  {score.sound:6.1%} of steps sound")


def _print_language(found: Language, bits: float, vocabulary: int) -> None:
    typer.echo(f"{'tokens':<16} {found.predicted:,} predicted")
    typer.echo(f"{'weights':<16} {bits:.2f} bits each")
    beside = "" if found.float_perplexity is None else f"; the checkpoint's {found.float_perplexity:.2f}"
    typer.echo(f"{'perplexity':<16} {found.perplexity:.2f}{beside}")
    if found.perplexity > vocabulary:
        typer.echo(f"{'':<16} worse than a guess among all {vocabulary:,} tokens: give text like its training's (--text)")
    if found.whole is not None:
        typer.echo(f"{'KL divergence':<16} {_nats(found.whole)}")
    if found.weights is not None:
        typer.echo(f"{'  of the weights':<16} {_nats(found.weights)}")
    if found.heads is not None:
        typer.echo(f"{'  of W_UK, W_UV':<16} {_nats(found.heads)}")
    if found.beside is not None:
        typer.echo(f"{'beside':<16} {_nats(found.beside)}")
        typer.echo(f"{'  added to it':<16} {found.added:+.4f} nats")


def _nats(one: Distance) -> str:
    return (
        f"mean {one.mean:.4f} nats, median {one.median:.4f}, 99 % below {one.p99:.4f}, most {one.largest:.4f}; "
        f"same first choice {one.top1:.1%}"
    )


def _share(right: int, total: int) -> str:
    return f"{right:4d} of {total:4d}  {right / total:6.1%}"
