"""Bundles of a tiny MicroReason of random weights, in both forms of its cache, and a dense one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.families.microreason.tiny import write_tiny
from youtu_onnx import export

Bundles = Callable[[str], Path]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("explain") / "tiny")


@pytest.fixture(scope="session")
def bundles(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """By the form of the cache."""

    @cache
    def get(form: str) -> Path:
        folder = tmp_path_factory.mktemp("bundles") / form
        return export(str(checkpoint), folder, precision="fp32", cache=form, verify=False).bundle.path

    return get
