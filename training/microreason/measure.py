"""What a routed model answers beside its dense twin, with confidence intervals, and what its gates save on its own chains.

    python -m training.microreason.measure microreason --count 500

Greedy, hard gates, problems that no training shows; weights that aren't int4 are rounded as an export rounds them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from youtu_onnx.evaluate.interval import wilson
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import Problem

from . import evaluate, own_chains, package, rounding, survey
from .generate import replies
from .model import MicroReasonForCausalLM

FULL = 3  # the longest that training has


@dataclass(frozen=True)
class Line:
    """A line of the table: which problems, and the share that is to be right at least, in percent; 0 where none is named."""

    name: str
    family: str
    least: int = 0
    kinds: tuple[str, ...] = ()
    language: str = ""

    def takes(self, problem: Problem) -> bool:
        return (not self.kinds or problem.kind in self.kinds) and self.language in ("", problem.language)


LINES = (
    Line("addition and subtraction to 4 digits", "arithmetic", 97, ("add", "subtract")),
    Line("sorting", "ordering", 97, ("sort", "sort_down")),
    Line("gcd", "gcd", 97, ("gcd",)),
    Line("base change", "base", 97),
    Line("products, 3 by 2 digits", "arithmetic", 93, ("multiply",)),
    Line("linear equations", "equation", 93),
    Line("units", "unit", 93),
    Line("dates and times", "date", 93),
    Line("propositional logic", "logic", 80),
    Line("knights and knaves, 3", "knights", 80),
    Line("4x4 sudoku", "sudoku", 80),
    Line("word problems, English", "word_problem", 90, language="en"),
    Line("word problems, Chinese", "word_problem", 90, language="zh"),
    Line("division by one digit", "arithmetic", 0, ("divide",)),
    Line("lcm", "gcd", 0, ("lcm",)),
    Line("fractions", "fraction"),
    Line("largest, smallest, comparing", "ordering", 0, ("max", "min", "compare", "decimals")),
    Line("mazes", "maze"),
    Line("programs", "program"),
    Line("letters", "letters"),
)


@dataclass(frozen=True)
class Share:
    """So many of so many, in percent, and the bounds that hold it in 95 of 100 cases (Wilson)."""

    right: int
    of: int
    percent: float
    low: float
    high: float

    @classmethod
    def among(cls, marks: Sequence[bool]) -> Share:
        right, of = sum(marks), len(marks)
        low, high = wilson(right, of)
        return cls(right, of, round(100 * right / max(of, 1), 1), round(100 * low, 1), round(100 * high, 1))

    def __str__(self) -> str:
        return f"{self.percent} % ({self.low} to {self.high})"


def problems(line: Line, count: int, seed: int, level: int) -> list[Problem]:
    """Different held-out problems of a line, the same for the same seed."""
    return families.different(line.family, count, seed, level, line.takes)


def twin(model: MicroReasonForCausalLM) -> MicroReasonForCausalLM:
    """The same weights, all gates held open."""
    dense = MicroReasonForCausalLM(replace(model.config, attention_routing=False))
    dense.load_state_dict(model.state_dict())
    return dense.eval()


Models = dict[str, MicroReasonForCausalLM]


def answered(line: Line, models: Models, words: Tokenizer, count: int, harder: int, seed: int) -> dict[str, object]:
    """What each model answers of so many problems at the full length of training, and of so many longer ones."""
    record: dict[str, object] = {"name": line.name, "family": line.family, "least": line.least}
    for title, level, wanted in (("trained", FULL, count), ("harder", families.HARDER, harder)):
        given = problems(line, wanted, seed, level)
        for name, model in models.items():
            marks = [evaluate.mark(p, reply) for p, reply in zip(given, replies(model, words, given), strict=True)]
            share = Share.among([m.correct for m in marks])
            sound = round(100 * sum(m.sound for m in marks) / len(marks), 1)
            record[f"{title}_{name}"] = asdict(share) | {"sound": sound, "text": str(share)}
    return record


def saved(models: Models, words: Tokenizer, count: int, seed: int) -> dict[str, object]:
    """Each model's replies in chains of its own, 256 to 512 tokens, and what the routed one's gates save there by layer."""
    record: dict[str, object] = {}
    for name, model in models.items() if count else ():
        chains = own_chains.grown(model, words, own_chains.begun(count, seed))
        share = Share.among([right for one in chains for right in one.right])
        record[f"answers_{name}"] = asdict(share) | {"text": str(share)}
        if name == "routed":
            lessons = survey.lessons([one.document for one in chains], own_chains.LONGEST)
            found = survey.survey(model, lessons, own_chains.SHORTEST)
            mean = sum(len(one.ids) for one in chains) / len(chains)
            record |= {"chains": len(chains), "tokens": round(mean)}
            for part, by_layer in (("pairs", found.pairs_saved), ("rows", found.rows_saved)):
                percents = [round(100 * share, 1) for share in by_layer]
                record[f"{part}_saved"] = round(sum(percents) / len(percents), 1)
                record[f"{part}_saved_by_layer"] = percents
    return record


def markdown(lines: Sequence[dict[str, object]], chains: dict[str, object], names: Sequence[str]) -> str:
    """The table, and a sentence or two on own chains."""

    def text(cell: object) -> str:
        return str(cell["text"]) if isinstance(cell, dict) else "-"

    titles = ["at least", *names, *(f"{name}, harder than trained" for name in names), "sound steps"]
    out = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for line in lines:
        cells = [text(line[f"{level}_{name}"]) for level in ("trained", "harder") for name in names]
        first = line[f"trained_{names[0]}"]
        sound = f"{first['sound']} %" if isinstance(first, dict) else "-"
        out.append(f"| {line['name']} | {line['least'] or '-'} | " + " | ".join([*cells, sound]) + " |")
    out.append("")
    for name in names:
        if f"answers_{name}" in chains:
            out.append(f"- own chains of 256 to 512 tokens, answers right, {name}: {text(chains[f'answers_{name}'])}")
    for part in ("pairs", "rows"):
        if f"{part}_saved" in chains:
            what = "attended pairs" if part == "pairs" else "cached rows"
            out.append(f"- {what} saved there: {chains[f'{part}_saved']} %, by layer {chains[f'{part}_saved_by_layer']}")
    return "\n".join(out)


def models_of(args: argparse.Namespace) -> tuple[Models, Tokenizer]:
    model, words = package.load(args.model)
    models: Models = {"routed": model}
    if not args.alone:
        models["dense"] = package.load(args.dense)[0] if args.dense else twin(model)
    for one, read_from in zip(models.values(), (args.model, args.dense or args.model), strict=False):
        if not args.float and not package.is_rounded(read_from):
            rounding.round_(one, one.config.hidden_size)
    return models, words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a folder, or microreason: the one that comes with this package")
    parser.add_argument("--dense", type=Path, help="the dense twin; by default the same weights with all gates open")
    parser.add_argument("--alone", action="store_true", help="without a twin beside it")
    parser.add_argument("--float", action="store_true", help="weights as they are")
    parser.add_argument("--count", type=int, default=500, help="problems of each line, or as many as are held out")
    parser.add_argument("--harder", type=int, help="longer ones of each line; by default as many")
    parser.add_argument("--chains", type=int, default=64, help="chains of its own, 0 for none")
    parser.add_argument("--family", action="append", choices=families.MEASURED, help="these only; may be repeated")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    models, words = models_of(args)
    wanted = [line for line in LINES if not args.family or line.family in args.family]
    lines = []
    for line in wanted:
        lines.append(answered(line, models, words, args.count, args.harder or args.count, args.seed))
        print(f"{line.name}: {lines[-1]['trained_routed']}", file=sys.stderr, flush=True)
    chains = saved(models, words, args.chains, args.seed)
    record = {"model": str(args.model), "int4": not args.float, "count": args.count, "lines": lines, "own_chains": chains}
    print(json.dumps(record, indent=2, ensure_ascii=False) if args.json else markdown(lines, chains, list(models)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
