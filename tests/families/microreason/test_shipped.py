"""The MicroReason that comes with the package: what its files are, that it answers what it was taught, and what adapters add."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from youtu_onnx import export, load
from youtu_onnx.chat.opening import OpeningOptions, open_model
from youtu_onnx.chat.reply_options import ReplyOptions
from youtu_onnx.core.hub import BUILT_IN
from youtu_onnx.explain.explanation import explain, watched
from youtu_onnx.problems import families

FOLDER = BUILT_IN["microreason"]
ASKED = {"arithmetic": 1, "fraction": 1, "ordering": 1}
"""Families and levels of which it answers nearly all; its README has what it makes of the others."""
ADAPTERS = Path(__file__).parents[3] / "training" / "microreason" / "plug_ins"
SUDOKU = "完成4乘4数独，每行、每列、每宫都是1到4。\n1003\n2314\n4231\n3100"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, keep_traces: Callable[[], Path]) -> Path:
    keep_traces()
    folder = tmp_path_factory.mktemp("microreason") / "int4"
    return export("microreason", folder, adapter_mode="hot", verify=False).bundle.path


def test_its_weights_are_int4_and_gates_are_on() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    weights = config["quantization_config"]["config_groups"]["group_0"]["weights"]
    assert (weights["num_bits"], weights["group_size"], config["attention_routing"]) == (4, 64, True)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 20e6


def test_it_solves_fresh_problems_and_forgets_what_it_does_not_need(bundle: Path) -> None:
    problems = [one for family, level in ASKED.items() for one in families.held_out(family, 8, 17, level)]
    with open_model(bundle, OpeningOptions(), watched) as model:
        right = [
            model.reply(one.prompt, ReplyOptions(greedy=True, max_tokens=200)).result.answer == one.answer for one in problems
        ]
        assert sum(right) >= 18, f"{sum(right)} of {len(right)}"
        found = explain(model, SUDOKU, ReplyOptions(greedy=True, max_tokens=300))
    assert found.kept is not None and sum(found.kept.rows) < 0.6 * found.kept.all_rows
    assert found.steps.family == "sudoku"


@pytest.mark.parametrize("family", families.PLUGGED)
def test_an_adapter_adds_what_the_base_was_never_shown_and_takes_it_away_again(bundle: Path, family: str) -> None:
    problems = families.held_out(family, 8, 17, 2)
    with load(bundle) as model:

        def said(adapter: str | None) -> list[str]:
            return [model.generate(one.prompt, greedy=True, max_tokens=200, adapter=adapter).answer.strip() for one in problems]

        before = said(None)
        model.load_adapter(family, ADAPTERS / family / "adapter")
        loaded = said(family)
        model.unload_adapter(family)
        assert said(None) == before
    right = [sum(answer == one.answer for answer, one in zip(said, problems, strict=True)) for said in (before, loaded)]
    assert right[0] <= 1 and right[1] >= 6, right
