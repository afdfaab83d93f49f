"""How a report is written."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from youtu_onnx.bench import Plan, Report, Result, Sample, Trial
from youtu_onnx.bench.render import RENDERERS
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.machine import Machine

NanoBundle = Callable[..., Path]


@pytest.fixture(scope="module")
def report(nano_bundle: NanoBundle) -> Report:
    results = (
        Result(Trial("pp8", 8, 0, depth=4), 2, (Sample(2.0, 2.0), Sample(1.0, 1.0), Sample(4.0, 4.0))),
        Result(Trial("tg6", 0, 6, batch=3), 1, (Sample(3.0, 0.0),)),
        Result(Trial("qa", 32, 128), 2, (Sample(10.0, 2.0), Sample(20.0, 4.0))),
    )
    where = Machine("A | CPU, 中文", 4, 8 * 10**9, "System 1", "3.12", "1.30")
    return Report(Bundle.open(nano_bundle("int4")), Plan(), where, "cpu", 2, 1.5, 10**8, 2 * 10**8, None, results, True)


CONTRACT = {
    "bundle",
    "provider",
    "threads",
    "machine",
    "load_seconds",
    "start_to_first_token_seconds",
    "memory_after_load_bytes",
    "peak_memory_bytes",
    "file_bytes",
    "bits_per_weight",
    "cache_bytes_per_token",
    "results",
}
RESULT_CONTRACT = {
    "test",
    "prompt_tokens",
    "generated_tokens",
    "depth",
    "batch",
    "threads",
    "tokens_per_second",
    "seconds",
    "time_to_first_token_seconds",
}


def test_json_has_the_keys_that_programs_rely_on(report: Report) -> None:
    made = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert made.keys() >= CONTRACT
    for one, result in zip(made["results"], report.results, strict=True):
        assert one.keys() >= RESULT_CONTRACT
        for name in ("tokens_per_second", "seconds"):
            assert one[name].keys() >= {"median", "min", "max", "samples"}
            assert len(one[name]["samples"]) == len(result.samples)
    assert [one["test"] for one in made["results"]] == ["pp8", "tg6", "qa"]
    assert [one["time_to_first_token_seconds"] and one["time_to_first_token_seconds"]["median"] for one in made["results"]] == [
        None,
        None,
        3.0,
    ]


def test_csv_is_read_back(report: Report) -> None:
    text = RENDERERS["csv"](report)
    head = text.splitlines()[0].split(",")
    assert len(head) == len(set(head))
    for row, result in zip(csv.DictReader(io.StringIO(text)), report.results, strict=True):
        assert row["machine_cpu"] == report.machine.cpu and int(row["file_bytes"]) == report.bundle.size
        assert (row["test"], int(row["depth"]), int(row["batch"]), int(row["threads"])) == (
            result.trial.name,
            result.trial.depth,
            result.trial.batch,
            result.threads,
        )
        for part in ("median", "min", "max"):
            assert float(row[f"tokens_per_second_{part}"]) == getattr(result.tokens_per_second, part)
            assert float(row[f"seconds_{part}"]) == getattr(result.seconds, part)
        first = row["time_to_first_token_seconds_median"]
        assert (float(first) if first else None) == (result.time_to_first_token and result.time_to_first_token.median)


def test_markdown_is_read_back(report: Report) -> None:
    lines = [line for line in RENDERERS["md"](report).splitlines() if line.startswith("|")]
    head, rule, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert all(len(row) == len(head) == len(rule) for row in rows)
    assert head[:5] == ["model", "size", "params", "backend", "threads"]
    for cells, result in zip(rows, report.results, strict=True):
        row = dict(zip(head, cells, strict=True))
        assert row["test"] == result.trial.label and row["threads"] == str(result.threads)
        assert float(row["t/s"]) == pytest.approx(result.tokens_per_second.median, abs=0.005)
    assert dict(zip(head, rows[2], strict=True))["ttft s"] == "3.000"


def test_table_lines_up(report: Report) -> None:
    facts, rows = RENDERERS["table"](report).split("\n\n")
    head, *lines = rows.splitlines()
    assert "first token" not in facts and "A | CPU" in facts
    assert len({len(line) for line in (head, *lines)}) == 1
    cells = [re.split(r"\s{2,}", line.strip()) for line in (head, *lines)]
    assert {len(row) for row in cells} == {10} and [row[2] for row in cells] == ["test", "pp8 @ d4", "tg6", "qa"]


def test_columns_that_would_say_nothing_are_left_out(report: Report) -> None:
    plain = RENDERERS["table"](replace(report, results=report.results[:1]))
    assert "batch" not in plain and "ttft" not in plain
