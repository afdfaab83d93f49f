"""``youtu-onnx bench`` as a user meets it: a process of its own, on youtu-nano."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.test_report import CONTRACT, RESULT_CONTRACT
from tests.cli_process import ROOT, failed, run
from youtu_onnx.bench.samples import take_sample
from youtu_onnx.cli import main
from youtu_onnx.core.errors import ResourceError

QUICK = ("-p", "8", "-n", "2", "-r", "2")


@pytest.fixture(scope="module")
def bundle(nano_bundle: Callable[..., Path]) -> Path:
    return nano_bundle("int4")


def bench(bundle: Path, *options: str) -> str:
    done = run("bench", bundle, *options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_json_is_the_contract(bundle: Path) -> None:
    made = json.loads(bench(bundle, "-p", "8,16", "-p", "8", "-n", "0", "-d", "0,5", "-b", "1,2", "-t", "1", "-r", "2", "--json"))
    assert made.keys() >= CONTRACT and made["complete"]
    assert [(one["batch"], one["depth"], one["test"]) for one in made["results"]] == [
        (batch, depth, test) for batch in (1, 2) for depth in (0, 5) for test in ("pp8", "pp16")
    ]
    assert all(one.keys() >= RESULT_CONTRACT and one["threads"] == 1 for one in made["results"])
    # the process had started before it loaded the model, and loaded it before it computed
    assert made["start_to_first_token_seconds"] > made["load_seconds"] + made["first_prompt_seconds"]
    assert 0 < made["memory_after_load_bytes"] <= made["peak_memory_bytes"]


def test_the_result_is_all_that_stdout_gets(bundle: Path) -> None:
    done = run("bench", bundle, *QUICK)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert out.startswith("model ") and "pp8" in out and "tg2" in out and "…" not in out
    assert "loading the model" in err and "pp8" in err and "bits per weight" not in err


def test_formats(bundle: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(bench(bundle, *QUICK, "-o", "csv"))))
    assert [row["test"] for row in rows] == ["pp8", "tg2"]
    assert bench(bundle, *QUICK, "-o", "md").startswith("| model | size | params | backend | threads | test | t/s |")
    assert json.loads(bench(bundle, *QUICK, "-o", "json"))["results"][0]["test"] == "pp8"


def test_a_scenario_stands_alone_unless_tests_are_asked_for(bundle: Path) -> None:
    alone = json.loads(bench(bundle, "--scenario", "qa", "-r", "1", "--no-warmup", "--json"))
    [qa] = alone["results"]
    assert (qa["test"], qa["prompt_tokens"], qa["generated_tokens"]) == ("qa", 32, 128)
    assert qa["seconds"]["median"] > qa["time_to_first_token_seconds"]["median"] > 0
    assert alone["warmup"] is False and alone["first_prompt_tokens"] == 32
    both = json.loads(bench(bundle, "--scenario", "qa", "-p", "8", "-r", "1", "--json"))
    assert [one["test"] for one in both["results"]] == ["pp8", "qa"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-p", "-1"), "--prompt -1"),
        (("-n", "many"), "whole numbers"),
        (("-p", ","), "no number"),
        (("-r", "0"), "--repetitions 0"),
        (("-b", "0"), "--batch 0"),
        (("-t", "0"), "--threads 0"),
        (("-p", "0", "-n", "0"), "nothing to measure"),
        (("-d", "1000"), "context of 1,024"),
        (("--scenario", "poetry"), "qa, math, code, chat"),
        (("-o", "xml"), "table, csv, json, md"),
        (("--json", "-o", "csv"), "two formats"),
        (("-b", "100000000", "-d", "500"), "are available"),
        (("--provider", "abacus"), "cpu"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(bundle: Path, options: tuple[str, ...], expected: str) -> None:
    done = run("bench", bundle, *options)
    text = failed(done, 2)
    assert expected in text and "hint" in text and "loading" not in text and done.stdout == b""


def test_what_is_no_bundle(tmp_path: Path) -> None:
    assert "nothing is there" in failed(run("bench", tmp_path / "nowhere"), 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that reaches one process only")
def test_ctrl_c_prints_what_was_measured(bundle: Path) -> None:
    # 180,000 steps of the second test: it surely is still running when the first one's line has shown
    process = subprocess.Popen(
        [sys.executable, "-m", "youtu_onnx.cli", "bench", bundle, "-p", "8", "-n", "900", "-r", "200", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    try:
        for line in process.stderr:
            if line.startswith(b"pp8"):
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err.decode()
    made = json.loads(out)
    assert made["complete"] is False and "Traceback" not in err.decode()
    assert made["results"][0]["test"] == "pp8"


def test_an_error_on_the_way_prints_what_was_measured(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(trial, *others):
        if trial.name == "tg2":
            raise ResourceError("no memory for a cache")
        return take_sample(trial, *others)

    monkeypatch.setattr("youtu_onnx.bench.benchmark.take_sample", failing)
    assert main(["bench", str(bundle), *QUICK, "--json"]) == 1
    captured = capsys.readouterr()
    made = json.loads(captured.out)
    assert made["complete"] is False and [one["test"] for one in made["results"]] == ["pp8"]
    assert "no memory for a cache" in captured.err
