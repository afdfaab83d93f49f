"""The Android core, compiled by Kotlin's compiler and run by Java with ONNX Runtime's own classes, on the shared vectors. How to
make the folder that it needs: ``tests/consumers/android_tools.py``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli_process import ROOT
from tests.consumers import android_tools
from tests.consumers.reasoning import Reasoner
from tests.consumers.test_vectors import TOLERANCES, VECTORS
from tests.vectors.make import FILE
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.mobile import write_mobile

TOOLS = Path(os.environ.get(android_tools.VARIABLE, ""))
ANDROID = ROOT / "runtimes" / "consumers" / "android"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17 or newer"),
    pytest.mark.skipif(
        not (TOOLS / "classes.jar").is_file(),
        reason=f"{android_tools.VARIABLE} names no folder made by python -m tests.consumers.android_tools",
    ),
]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    jar = tmp_path_factory.mktemp("android") / "core.jar"
    done = android_tools.compile_core(TOOLS, [ANDROID / "core" / "src" / "main" / "kotlin", ANDROID / "jvm"], jar)
    assert done.returncode == 0, done.stderr
    return jar


def steps(core: Path, folder: Path, vectors: Path = FILE) -> dict[str, Any]:
    done = android_tools.java(TOOLS, core.with_name("native"), core, folder, vectors)
    assert done.returncode == 0, done.stderr
    return {name: value for line in done.stdout.splitlines() for name, value in json.loads(line).items()}


@pytest.mark.parametrize(
    ("precision", "cache", "form"),
    [("fp32", "latent", "onnx"), ("int4", "latent", "ort"), ("int4", "latent-fp16", "ort"), ("int4", "latent-int8", "ort")],
)
def test_vectors(nano_bundle: Callable[..., Path], core: Path, tmp_path: Path, precision: str, cache: str, form: str):
    write_mobile(Bundle.open(nano_bundle(precision, cache)), tmp_path / "model", form=form)
    found = steps(core, tmp_path / "model")
    for kind in ("texts", "literals"):
        assert found[kind] == [one["ids"] for one in VECTORS[kind]]
    said = [(ids, one["ids"]) for ids, one in zip(found["chats"], VECTORS["chats"], strict=True) if ids]
    assert len(said) == 4, "all but tools, reasoning in a field of its own, and no generation prompt"
    for ids, expected in said:
        assert ids == expected
    furthest = np.abs(np.array(found["logits"]) - np.array(VECTORS["logits"])).max()
    assert furthest <= TOLERANCES[precision]
    ends = {one["tokens"][-1] for one in VECTORS["greedy"]}
    for again, first in zip(reversed(found["rewound"]), found["greedy"], strict=True):
        assert again == (first[:-1] if first[-1] in ends else first)
    if precision == "fp32":
        assert found["greedy"] == [one["tokens"] for one in VECTORS["greedy"]]


def test_a_file_that_was_not_copied_whole_is_named(nano_bundle: Callable[..., Path], core: Path, tmp_path: Path):
    write_mobile(Bundle.open(nano_bundle("int4")), tmp_path / "model")
    with (tmp_path / "model" / "model.ort").open("r+b") as stream:
        stream.truncate(1000)
    done = android_tools.java(TOOLS, core.with_name("native"), core, tmp_path / "model", FILE)
    assert done.returncode != 0 and "model.ort has 1000 bytes" in done.stderr


@pytest.mark.parametrize("cache", ["routed", "masked"])
def test_microreason(reasoner: Reasoner, core: Path, tmp_path: Path, cache: str):
    write_mobile(Bundle.open(reasoner.bundle(cache)), tmp_path / "model", form="ort" if cache == "routed" else "onnx")
    found = steps(core, tmp_path / "model", reasoner.written(tmp_path / "asked.json"))
    reasoner.check(found["greedy"], found["logits"])
    assert [*reversed(found["rewound"])] == found["greedy"]


@pytest.mark.parametrize("flag", ["uniform", "rewindable"])
def test_a_prompt_is_read_again_where_tokens_cannot_be_dropped(
    nano_bundle: Callable[..., Path], core: Path, tmp_path: Path, flag: str
):
    write_mobile(Bundle.open(nano_bundle("fp32")), tmp_path / "model", form="onnx")
    record = tmp_path / "model" / "model.json"
    fields = json.loads(record.read_text(encoding="utf-8"))
    assert fields["cache"][flag] is True
    fields["cache"][flag] = False
    record.write_text(json.dumps(fields), encoding="utf-8")
    answers = [one["tokens"] for one in VECTORS["greedy"]]
    found = steps(core, tmp_path / "model")
    assert found["greedy"] == answers and [*reversed(found["rewound"])] == [one[:-1] for one in answers]
    for name in ("uniform", "rewindable", "prefix_shareable"):
        del fields["cache"][name]  # as before there were such words
    record.write_text(json.dumps(fields), encoding="utf-8")
    assert steps(core, tmp_path / "model")["greedy"] == answers
