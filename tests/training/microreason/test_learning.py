"""The learning curve: which lines of a log it takes, where it goes on, and what the picture shows."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from xml.dom import minidom

import pytest

from training.microreason.learning import Measured, expected, measurements, picture


def line(tokens: int, share: float, **more: object) -> str:
    correct = {"gcd": 100 * share, "word_problem": 50 * share, "all": 75 * share}
    return json.dumps({"kind": "accuracy", "step": 1, "hours": tokens / 1e6, "tokens": tokens, "correct": correct} | more)


LOG = "\n".join([line(0, 0.0), '{"kind": "train", "step": 25, "tokens": 5, "loss": 2.0}', line(10**6, 0.4), line(2 * 10**6, 0.8)])


def test_measurements_are_those_after_some_training():
    found = measurements(LOG + '\n{"kind": "accuracy", "tokens": 7, "teacher": 1.0}\n')  # of a later stage: no answers
    assert [one.tokens for one in found] == [10**6, 2 * 10**6] and found[1].correct["all"] == pytest.approx(0.6)


def test_it_goes_on_in_logits_over_the_logarithm_of_tokens():
    before, last = (Measured(tokens, 1.0, {"all": share}) for tokens, share in ((100, 0.5), (200, 0.75)))
    assert [expected(before, last, tokens) for tokens in (100, 200)] == pytest.approx([0.5, 0.75])
    assert expected(before, last, 400) == pytest.approx(0.9), "odds of 1, 3, then 9"
    all_right = Measured(200, 1.0, {"all": 1.0})
    assert 0.98 < expected(before, all_right, 400) < 1.0


def test_the_picture_has_every_family_and_where_it_would_go_on():
    svg = picture(measurements(LOG))
    minidom.parseString(svg)
    assert svg.count('class="family"') == 2 and svg.count('class="dot"') == 2 and svg.count("dotted") == 2
    assert "word problem: 40 %" in svg and "gcd: 80 %" in svg and "all: 60 %" in svg


def test_a_log_with_one_measurement_is_not_enough(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    program = [sys.executable, "-m", "training.microreason.learning", str(log)]
    log.write_text(line(10**6, 0.4), encoding="utf-8")
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 2 and "the picture needs two" in done.stderr
    log.write_text(LOG, encoding="utf-8")
    done = subprocess.run([*program, "--svg", str(tmp_path / "curve.svg")], capture_output=True, text=True)
    logits = [math.log(share / (1 - share)) for share in (0.3, 0.6)]
    doubled = 1 / (1 + math.exp(-2 * logits[1] + logits[0]))
    assert done.returncode == 0 and f"2 times: {100 * doubled:.0f} %" in done.stdout
    assert (tmp_path / "curve.svg").read_text(encoding="utf-8").startswith("<svg")
