"""Fixtures that several test modules share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def pytest_configure() -> None:
    """What programs that tests start inherit.

    A shell starts background jobs with Ctrl-C ignored. Where several workers share the cores, torch's threads for tiny matrices
    only stand in each other's way. A package that may not be kept compiled would be compiled by each of hundreds of programs.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Whether a machine has the native kernels makes no difference to tests that don't ask for them.
    os.environ["YOUTU_ONNX_KERNELS"] = os.environ.get("YOUTU_ONNX_TEST_KERNELS", "onnxruntime")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


LONG = (
    "consumers/test_browser.py",
    "native/test_sanitized.py",
    "consumers/test_csharp.py",
    "verify/test_parity.py",
    "training/microreason/test_stages.py",
    "families/test_static_cache.py",
    "native/test_arm.py",
    "native/test_rewriting.py",
    "native/test_building.py",
    "cli/test_streams.py",
    "cli/test_bad_input.py",
    "families/microreason/test_commands.py",
    "exporters/test_prequantized.py",
    "families/test_graph.py",
    "families/test_batch_graph.py",
    "consumers/test_android.py",
    "core/test_staging.py",
    "serve/page/test_real_server.py",
    "serve/http/test_workers.py",
    "serve/http/test_recordings.py",
    "bench/test_benchmarks_against_llama_cpp.py",
    "consumers/test_aarch64.py",
    "exporters/text/test_mutated_files.py",
    "verify/test_weights.py",
    "families/test_mutated_configs.py",
    "families/test_attention_orders.py",
    "exporters/test_calibration.py",
    "exporters/test_unfinished.py",
    "publish/test_merged_adapter.py",
    "optimum/test_optimum.py",
    "evaluate/test_language.py",
    "serve/http/test_hostile.py",
    "bench/test_benchmarks_roofline.py",
    "families/adapters/test_beside.py",
    "families/microreason/test_batch.py",
    "cli/test_generate.py",
    "chat/test_prompt_lookup_model.py",
    "chat/test_adapters.py",
    "consumers/test_java.py",
    "cli/test_bench.py",
)
"""Files that take more than ten seconds, the longest first: begun last, one of them would keep one worker busy while all others
wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: place.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """Python looks for cycles after every 700 new objects, most of which are those of torch and of tests and stay: a tenth of all
    the time. What is there now is left alone, and the rest looked through less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def keep_traces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Whatever this run exports, what was traced for it is kept, for its other processes and for later runs of the same code.

    ``keep_traces()`` → the folder. Who imports torch late calls it before an export: a run without torch shall not import it for
    this. Programs find the folder in their environment.
    """

    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    folder = shared(tmp_path_factory) / "traces" if cache is None else cache.mkdir("traces")

    def keep() -> Path:
        from tests.kept_traces import keep_traces

        keep_traces(folder)
        return folder

    os.environ["YOUTU_ONNX_TEST_TRACES"] = str(folder)
    if "torch" in sys.modules:
        keep()
    return keep


def shared(factory: pytest.TempPathFactory) -> Path:
    """The folder of this run: that of the workers' own folders where there are any."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def nano_bundle(tmp_path_factory: pytest.TempPathFactory, keep_traces: Callable[[], Path]) -> Callable[..., Path]:
    """``nano_bundle(precision="int4", cache="latent", target="cpu", max_length=None)`` → the folder of an unverified export of
    youtu-nano.

    Each kind is exported once per test run, by whichever xdist worker needs it first. Read only: copy it before
    changing anything.
    """
    folder = shared(tmp_path_factory)

    def bundle(precision: str = "int4", cache: str = "latent", target: str = "cpu", max_length: int | None = None) -> Path:
        from youtu_onnx import export
        from youtu_onnx.core.bundle import names

        length = "" if max_length is None else f"-{max_length}"
        path = folder / f"youtu-nano-{precision}-{cache}{'' if target == 'cpu' else f'-{target}'}{length}"
        with FileLock(f"{path}.lock"):
            if not (path / names.MANIFEST).is_file():
                keep_traces()
                export(
                    model="youtu-nano",
                    output=path,
                    precision=precision,
                    cache=cache,
                    target=target,
                    max_length=max_length,
                    verify=False,
                )
        return path

    return bundle


@pytest.fixture(scope="session")
def int8_cache_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the int4 graph of a tiny checkpoint over an int8 cache. Read only.

    With an exception from int4, which names a matrix whose size others are scaled by.
    """
    from tests.exported import export_tiny
    from tests.tiny_checkpoint import write_checkpoint
    from youtu_onnx.core.recipe import Recipe

    folder = tmp_path_factory.mktemp("int8-cache")
    write_checkpoint(folder / "checkpoint")
    export_tiny(folder / "checkpoint", folder, Recipe("int4", 32, int8=("*.kv_a_proj_with_mqa",)), form="latent-int8")
    return folder
