"""What an engine may take of a machine, within a container's limit, and of several engines each one's part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from youtu_onnx.core import machine
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.serve.engine.limits import Limits, free_cache_memory, share
from youtu_onnx.serve.engine.opening import open_engine

GIB = 1 << 30


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container of 4 GiB, 1 GiB of them used, on a host of 64 GiB, of which 60 are free."""
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    (tmp_path / "memory.stat").write_text("inactive_file 0\n")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=60 * GIB))
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)


def test_caches_take_half_of_what_a_container_has_left(container: None, nano_bundle: Callable[..., Path]) -> None:
    assert free_cache_memory() == 3 * GIB // 2
    engine = open_engine(Bundle.open(nano_bundle()), limits=Limits(threads=1))
    assert engine.stats().cache_limit == 3 * GIB // 2
    engine.close()


def test_several_engines_share_it(container: None) -> None:
    assert free_cache_memory(4) == 3 * GIB // 8
    assert share(4, Limits()).cache_memory == 3 * GIB // 8
    assert share(4, Limits(cache_memory=1000)).cache_memory == 250


def test_shares():
    asked = Limits(threads=None, places=4, max_queue=5, context=100, cache_memory=1000)
    found = share(3, asked)
    assert (found.places, found.context, found.max_queue, found.cache_memory) == (4, 100, 2, 333)
    assert share(10_000, asked).threads == 1 and share(3, Limits(threads=7)).threads == 7
    assert share(2, Limits()).cache_memory < psutil.virtual_memory().total / 4
