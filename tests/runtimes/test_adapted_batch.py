"""The batch graph with adapters: each step is one adapter's, and what it computes for a sequence doesn't depend on the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters import EVERY, make_adapter
from tests.exported import export_tiny, reference_logits
from tests.tiny_checkpoint import CONFIG, random_tensors, write_checkpoint
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.batch import Batch, Chunk
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.turns import TurnsModel

IDS = [int(id_) for id_ in np.random.default_rng(0).integers(3, 131, 40)]


class Made:
    def __init__(self, folder: Path) -> None:
        tensors = random_tensors(CONFIG)
        self.peft: dict[str, Any] = {
            name: make_adapter(folder / name, CONFIG, tensors, seed=seed, r=3 + seed, target_modules=EVERY)
            for seed, name in enumerate(("one", "two"))
        }
        write_checkpoint(folder / "base", CONFIG, tensors)
        self.folder = folder

    def bundle(self, precision: str) -> Bundle:
        place, recipe = self.folder / precision, Recipe(precision, 16)  # type: ignore[arg-type]
        return Bundle(place, export_tiny(self.folder / "base", place, recipe, batch=True, adaptable=True))

    def wanted(self, name: str | None, count: int) -> np.ndarray:
        """Logits after the first so many ids."""
        if name is None:
            with self.peft["one"].disable_adapter():
                return reference_logits(self.peft["one"], np.array([IDS[:count]]))[0, -1]
        return reference_logits(self.peft[name], np.array([IDS[:count]]))[0, -1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("adapted"))


@pytest.mark.parametrize("kind", ["slots", "turns"])
def test_adapters_take_turns_and_each_computes_what_it_does_with_peft(kind: str, made: Made) -> None:
    bundle = made.bundle("fp32")
    batch: Batch = BatchModel(bundle, 1) if kind == "slots" else TurnsModel(OrtModel(bundle, threads=1))
    assert batch.adapters is not None
    active: dict[str | None, ActiveAdapter | None] = {None: None}
    for name in made.peft:
        batch.adapters.load(name, made.folder / name)
        active[name] = batch.adapters.active(name)
    caches = {name: (batch.new_cache(), batch.new_cache()) for name in active}
    for name, (first, second) in caches.items():
        batch.step({}, Chunk(first, IDS[:20], False), adapter=active[name])
        batch.step({0: (first, IDS[20])}, Chunk(second, IDS[:9], False), adapter=active[name])
    for step in range(3):
        for name, (first, second) in caches.items():
            tokens = {0: (first, IDS[21 + step]), 2: (second, IDS[9 + step])}
            logits = batch.step(tokens, adapter=active[name])
            for row, count in zip(logits, (22 + step, 10 + step), strict=True):
                assert np.abs(row - made.wanted(name, count)).max() < 2e-4, (name, step)
    batch.close()


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_a_sequence_comes_out_the_same_in_any_company(precision: str, made: Made) -> None:
    batch = BatchModel(made.bundle(precision), 1)
    assert batch.adapters is not None
    batch.adapters.load("two", made.folder / "two")
    adapter = batch.adapters.active("two")

    def run(company: int) -> np.ndarray:
        mine, others = batch.new_cache(), [batch.new_cache() for _ in range(company)]
        rows = [batch.step({}, Chunk(mine, IDS[:30], True), batch_invariant=True, adapter=adapter)[-1]]
        for place, other in enumerate(others):
            batch.step({}, Chunk(other, IDS[: 7 + place], False), batch_invariant=True, adapter=adapter)
        for step in range(4):
            beside = {1 + place: (other, IDS[step + place]) for place, other in enumerate(others)}
            rows.append(batch.step({0: (mine, IDS[30 + step])} | beside, batch_invariant=True, adapter=adapter)[0])
        return np.stack(rows)

    alone = run(0)
    assert all(np.array_equal(run(company), alone) for company in (1, 2, 3))
    batch.close()
