"""Optimum's task manager, exporter and ORTModelForCausalLM with Youtu, where optimum-onnx lives: beside transformers 4.

Its environment is made once, in the user's cache: optimum-onnx and what it pins. The torch and onnxruntime beneath are those
of whoever runs it, told in the variable ``BENEATH``: the checkout that made it may be gone. Without a network the tests are
skipped.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

pytest.importorskip("torch")

from tests.consumer_bundles import CACHES
from tests.vectors.make import FILE, NANO
from tools.links import BESIDE, show
from youtu_onnx.core.errors import YoutuOnnxError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PINNED = ("optimum-onnx==0.1.0", "optimum==2.1.0", "transformers==4.57.6")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "youtu-onnx" / "tests"
GREEDY: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["greedy"]
BENEATH = "YOUTU_ONNX_TESTS_BENEATH"
BUNDLES = (("fp32", "latent"), ("fp32", "expanded"))


def over_this() -> dict[str, str]:
    """The variables that put this environment's packages beneath the other's."""
    return {**os.environ, BENEATH: sysconfig.get_paths()["purelib"]}


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with optimum-onnx."""
    folder = CACHE / "-".join(("over", f"py{sys.version_info.major}{sys.version_info.minor}", *PINNED)).replace("==", "-")
    CACHE.mkdir(parents=True, exist_ok=True)
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with FileLock(f"{folder}.lock"):
        # Its python is a link to the system's, which may have been replaced.
        if not ((folder / "complete").is_file() and interpreter.is_file()):
            venv.create(folder, clear=True)
            site = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"]
            # Behind the environment's own packages, so that torch isn't installed twice.
            line = f"import os, sys; sys.path.extend(filter(None, [os.environ.get('{BENEATH}')]))\n"
            (Path(site) / "beneath.pth").write_text(line, encoding="utf-8")
            # By this environment's pip; thousands of files are compiled when they are imported, which most never are.
            install = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--no-compile", "--quiet"]
            install += ["--retries", "1", "--timeout", "20", *PINNED]
            made = subprocess.run(install, capture_output=True, text=True, env=over_this())
            if made.returncode:
                errors = [line for line in made.stderr.splitlines() if line.startswith("ERROR")] or [made.stderr[-200:]]
                pytest.skip(f"pip could not install optimum-onnx: {errors[-1]}")
            (folder / "complete").touch()
    return interpreter


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks as the installed package does: the environment has it not."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "youtu_onnx").mkdir()
    for source in (*(ROOT / "youtu_onnx").iterdir(), *(ROOT / name for name in BESIDE)):
        show(source, folder / "youtu_onnx" / source.name)
    return folder


def run(python: Path, package: Path, module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    made = subprocess.run(
        [python, "-m", module, *map(str, arguments)],
        cwd=package,
        capture_output=True,
        text=True,
        env=over_this() | {"PYTHONPATH": str(ROOT)},
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return made


@pytest.fixture(scope="module")
def facts(
    python: Path, package: Path, nano_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What ``optimum_program.py`` found out."""
    bundles = [nano_bundle(*kind) for kind in (*BUNDLES, ("int4", "latent-int8"))]
    export = tmp_path_factory.mktemp("optimum") / "exported"
    made = run(python, package, "tests.optimum_program", export, nano_bundle("fp32", **CACHES["reserved"]), *bundles)
    return json.loads(made.stdout.splitlines()[-1])


def test_the_task_manager_knows_youtu_once_it_is_registered(facts: dict[str, Any]) -> None:
    assert facts["supported before"] == "KeyError"
    assert facts["supported"] == ["text-generation", "text-generation-with-past"]


def test_optimums_export_gives_pytorchs_tokens(facts: dict[str, Any]) -> None:
    assert facts["exported"]["greedy"] == [one["tokens"] for one in GREEDY]


def test_optimums_class_needs_to_be_told_the_shapes(facts: dict[str, Any]) -> None:
    """When it doesn't any more, ``ort_config`` can go."""
    assert facts["unposed"] != "works"


@pytest.mark.parametrize("whose", ["Optimum's", "our"])
@pytest.mark.parametrize("kind", BUNDLES, ids="-".join)
def test_bundles_give_pytorchs_tokens(facts: dict[str, Any], whose: str, kind: tuple[str, str]) -> None:
    found = facts[f"{whose} class, youtu-nano-{'-'.join(kind)}"]
    assert found["greedy"] == [one["tokens"] for one in GREEDY]
    assert found["beams"] == facts["exported"]["beams"]


def test_both_classes_give_the_same_tokens_over_an_int8_cache(facts: dict[str, Any]) -> None:
    assert facts["Optimum's class, youtu-nano-int4-latent-int8"] == facts["our class, youtu-nano-int4-latent-int8"]


def test_a_cache_of_reserved_length_is_for_our_class_alone(facts: dict[str, Any]) -> None:
    assert "takes the rows of a cache for the tokens in it" in facts["reserved"]


def test_our_class_is_one_of_optimums_and_runs_under_transformers_4(facts: dict[str, Any]) -> None:
    assert facts["our class is an OptimizedModel"] is True
    plain, looked_up = facts["prompt lookup"]
    assert plain == looked_up


def test_the_command_line_exports(python: Path, package: Path, tmp_path: Path) -> None:
    made = run(
        python,
        package,
        "youtu_onnx.optimum",
        "export",
        "onnx",
        "--model",
        NANO,
        "--task",
        "text-generation-with-past",
        tmp_path / "made",
    )
    assert (tmp_path / "made" / "model.onnx").is_file()
    assert "not close enough" not in made.stderr + made.stdout


def test_beside_transformers_5_the_module_says_what_it_needs() -> None:
    import transformers

    if int(transformers.__version__.split(".")[0]) < 5:
        pytest.skip("this environment has transformers 4")
    sys.modules.pop("youtu_onnx.optimum", None)
    with pytest.raises(YoutuOnnxError, match="environment of its own"):
        importlib.import_module("youtu_onnx.optimum")
