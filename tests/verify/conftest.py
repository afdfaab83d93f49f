"""Fixtures of the tests of verification."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from youtu_onnx.families.checkpoint import Checkpoint

NanoBundle = Callable[..., Path]


@pytest.fixture(scope="session")
def nano() -> Checkpoint:
    return Checkpoint.open("youtu-nano")


@pytest.fixture
def copied(nano_bundle: NanoBundle, tmp_path: Path) -> Callable[..., Path]:
    """A bundle of one's own, in a folder with a difficult name."""

    def copy(precision: str = "int4", cache: str = "latent") -> Path:
        return shutil.copytree(nano_bundle(precision, cache), tmp_path / "José 模型" / precision)

    return copy
