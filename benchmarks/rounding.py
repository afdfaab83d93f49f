"""What each way of rounding costs a model that answers problems: right answers beside the float model's, KL divergence, size.

``python -m benchmarks.rounding`` prints the table of storages of youtu-nano, ``--kinds`` the one of what each kind of matrix
loses at 4 bits: all others as in the recipe, that kind at 8, and ``--algorithms`` the one of how codes are found.
``--no-answers`` leaves out the answers, which take longest.

::

    python -m training.nano.held_out_file problems.jsonl --each 200
    python -m training.nano.chats_file chats.jsonl
    python -m benchmarks.rounding --algorithms --problems problems.jsonl --calibration chats.jsonl --model CHECKPOINT

asks another model other problems. "lost" and "won" are problems that only the float model answers right, and only this one: what
is lost but for chance is less than twice the root of their sum.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from youtu_onnx.chat.opening import load
from youtu_onnx.core.recipe import ALGORITHMS, BLOCK_SIZES
from youtu_onnx.evaluate.evaluation import Evaluation, evaluate
from youtu_onnx.evaluate.problem import HELD_OUT, Problem, read_problems
from youtu_onnx.inspect.inspection import inspect_bundle
from youtu_onnx.publish.exporting import export

KINDS = ("lm_head", "*.q_a_proj", "*.q_b_proj", "*.o_proj", "*.gate_proj", "*.down_proj")
"""As ``--int8`` names them. Fused matrices go together: q_a and kv_a, gate and up; a tied embedding with the head."""


@dataclass(frozen=True)
class Way:
    """Of storing a model: its name in the table, and how :func:`youtu_onnx.publish.exporting.export` is asked for it."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def calibrated(self) -> bool:
        return bool(self.options.get("algorithm", "rtn") != "rtn")


def storages() -> Iterator[Way]:
    yield from (Way(precision, {"precision": precision}) for precision in ("fp32", "fp16", "int8"))
    for size in BLOCK_SIZES:
        for symmetric in (False, True):
            name = f"int4, block {size}{', symmetric' if symmetric else ''}"
            yield Way(name, {"block_size": size, "symmetric": symmetric, "int8": ("none",)})


def kinds() -> Iterator[Way]:
    yield Way("int4")
    yield from (Way(f"int4, `{kind}` at 8 bits", {"int8": (kind,)}) for kind in KINDS)


def algorithms() -> Iterator[Way]:
    """In the blocks that a user gets, and in the widest."""
    yield Way("fp32", {"precision": "fp32"})
    yield Way("int8", {"precision": "int8"})
    for algorithm in ALGORITHMS:
        yield Way(f"int4, {algorithm}", {"algorithm": algorithm})
    yield from (Way(f"int4, {one}, block 256", {"algorithm": one, "block_size": 256}) for one in ("rtn", "gptq+awq"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--kinds", action="store_true", help="one kind of matrix at 8 bits at a time")
    which.add_argument("--algorithms", action="store_true", help="how codes are found, in the blocks that a user gets")
    parser.add_argument("--model", default="youtu-nano", help="a checkpoint that knows the problems")
    parser.add_argument("--problems", type=Path, default=HELD_OUT)
    parser.add_argument("--calibration", type=Path, default=None, help="text or chats of the kind that the model reads")
    parser.add_argument("--no-answers", action="store_true", help="KL divergence and size only")
    options = parser.parse_args()
    ways = kinds() if options.kinds else algorithms() if options.algorithms else storages()
    problems = () if options.no_answers else read_problems(options.problems)
    print(f"| weights |{' right answers | lost | won |' if problems else ''} mean KL, nats | bits a weight | bundle |")
    print(f"|---|{'---|---|---|' if problems else ''}---|---|---|")
    first: Evaluation | None = None
    for way in ways:
        text = [options.calibration] if options.calibration and way.calibrated else []
        line, first = row(way, options.model, problems, text, first)
        print(line, flush=True)


def row(
    way: Way, model: str, problems: Sequence[Problem], text: Sequence[Path], first: Evaluation | None
) -> tuple[str, Evaluation | None]:
    """Export the model, verify it, let it answer. ``first``: what the answers are held against; None: this is it."""
    answers = ""
    with tempfile.TemporaryDirectory() as folder:
        made = export(model, Path(folder) / "bundle", calibration=text, force=True, **way.options)
        if problems:
            with load(made.bundle.path) as opened:
                found = evaluate(opened, problems)
            right, total = found.score()
            first = first or found
            lost, won = changed(first, found)
            answers = f" {right} of {total} | {lost} | {won} |"
        bits = inspect_bundle(made.bundle.path).bits_per_weight
    assert made.parity is not None
    kl = made.parity.total.mean_kl
    return f"| {way.name} |{answers} {kl:.2g} | {bits:.2f} | {made.bundle.size / 1e6:.1f} MB |", first


def changed(one: Evaluation, other: Evaluation) -> tuple[int, int]:
    """Problems that the first answers right and the second doesn't, and the other way round."""
    pairs = list(zip((outcome.right for outcome in one.outcomes), (outcome.right for outcome in other.outcomes), strict=True))
    return pairs.count((True, False)), pairs.count((False, True))


if __name__ == "__main__":
    main()
