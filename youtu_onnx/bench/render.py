"""A report as text: for a terminal, for a spreadsheet, for a page in Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from youtu_onnx.bench.report import Report
from youtu_onnx.bench.samples import Result
from youtu_onnx.families.known import architecture_of

Row = Sequence[str]
STATISTICS = ("tokens_per_second", "seconds", "time_to_first_token_seconds", "generation_tokens_per_second")
PARTS = ("median", "min", "max")
FLAT = (
    "test",
    "prompt_tokens",
    "generated_tokens",
    "depth",
    "batch",
    "threads",
    *(f"{name}_{part}" for name in STATISTICS for part in PARTS),
    "rows_kept",
)
"""Columns of one result in a spreadsheet."""


def table(report: Report) -> str:
    """Facts, then a row for each test in columns that line up."""
    head, rows = _columns(report)
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [f"{name:<9} {value}" for name, value in _facts(report)]
    lines += [""] + ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return "\n".join(lines) + "\n"


def markdown(report: Report) -> str:
    """llama-bench's table, with minimum and maximum instead of a deviation, and the facts in a list below it."""
    head, rows = _columns(report)
    parameters = _count(architecture_of(report.bundle.manifest.model).parameters)
    model = [report.model, f"{report.bundle.size / 2**20:.2f} MiB", parameters, report.provider.upper()]
    lines = [
        _pipe(["model", "size", "params", "backend", *head]),
        _pipe(["---", "---:", "---:", "---", "---:", *["---:" for _ in head[1:]]]),
    ]
    lines += [_pipe([*model, *row]) for row in rows]
    lines += [""] + [f"- {name}: {value}" for name, value in _facts(report)]
    return "\n".join(lines) + "\n"


def comma_separated(report: Report) -> str:
    """A line for each test that repeats the facts, so that files can be joined. No samples: JSON has them."""
    made = report.to_dict()
    facts = {name: value for name, value in made.items() if name not in FLAT and not isinstance(value, (dict, list))}
    facts |= {f"machine_{name}": value for name, value in made["machine"].items()}
    head = [*facts, *FLAT]
    out = io.StringIO()
    writer = csv.DictWriter(out, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(facts | _flat(result) for result in report.results)
    return out.getvalue()


RENDERERS: Mapping[str, Callable[[Report], str]] = {"table": table, "csv": comma_separated, "md": markdown}
"""Name of an output format → its text. JSON is ``Report.to_dict``."""


def _facts(report: Report) -> list[tuple[str, str]]:
    machine, first, per_token = report.machine, report.first_prompt, report.bundle.manifest.cache.bytes_per_token
    cold = (
        ""
        if first is None
        else (
            f"; first token {first.since_start:.2f} s after the process started "
            f"(prompt of {first.tokens}, cold: {first.seconds:.3f} s)"
        )
    )
    facts = [
        ("model", f"{report.model}: {report.bundle.size / 1e6:.1f} MB in files, {report.bits_per_weight:.2f} bits per weight"),
        (
            "machine",
            f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 1e9:.1f} GB; {machine.system}; "
            f"onnxruntime {machine.onnxruntime}",
        ),
        ("provider", report.provider if report.provider != "cpu" else f"cpu, kernels: {report.kernels}"),
        ("load", f"{report.load_seconds:.2f} s{cold}"),
        (
            "memory",
            f"{report.memory_after_load / 1e9:.2f} GB after loading, {report.peak_memory / 1e9:.2f} GB at most; "
            f"cache {per_token / 1024:.1f} KiB per token{'' if report.bundle.manifest.cache.uniform else ' at most'}",
        ),
        ("runs", f"{report.plan.repetitions} each, {'after a warm-up' if report.plan.warmup else 'without a warm-up'}"),
    ]
    return facts if report.complete else [*facts, ("BROKEN OFF", "these are the runs that were made until then")]


def _columns(report: Report) -> tuple[Row, list[Row]]:
    """Rates are medians; columns that would say nothing are left out."""
    batches = any(result.trial.batch > 1 for result in report.results)
    both = any(result.trial.has_both for result in report.results)
    rows = any(result.rows is not None for result in report.results)
    head = ["threads", *["batch"] * batches, "test", "t/s", "min", "max", "spread"]
    head += [*["total s", "ttft s", "tg t/s"] * both, *["rows kept"] * rows]
    return head, [[*_cells(result, batches, both), *[_share(result.rows_kept)] * rows] for result in report.results]


def _share(part: float | None) -> str:
    return "-" if part is None else f"{part:.1%}"


def _cells(result: Result, batches: bool, both: bool) -> list[str]:
    rate, first, generation = result.tokens_per_second, result.time_to_first_token, result.generation
    cells = [
        str(result.threads),
        *[str(result.trial.batch)] * batches,
        result.trial.label,
        f"{rate.median:.2f}",
        f"{rate.min:.2f}",
        f"{rate.max:.2f}",
        f"{rate.spread:.1%}",
    ]
    if both:
        cells += [
            f"{result.seconds.median:.3f}",
            f"{first.median:.3f}" if first else "-",
            f"{generation.median:.2f}" if generation else "-",
        ]
    return cells


def _flat(result: Result) -> dict[str, Any]:
    fields = result.to_dict()
    del fields["rows_by_layer"]
    for name in STATISTICS:
        found = fields.pop(name) or {}
        fields |= {f"{name}_{part}": found.get(part) for part in PARTS}
    return fields


def _pipe(cells: Row) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.2f} M"
