"""Tiny checkpoints, and their exports: each made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.exported import export_tiny
from tests.families.microreason.tiny import write_tiny
from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.recipe import Recipe

Exported = Callable[..., tuple[Path, Manifest]]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """By whether its gates are in use."""

    @cache
    def get(routing: bool = True) -> Path:
        return write_tiny(tmp_path_factory.mktemp("microreason") / f"tiny-{'routed' if routing else 'dense'}", routing=routing)

    return get


@pytest.fixture(scope="session")
def exported(checkpoint: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Everything of a bundle but manifest and model card. ``(precision, form, target, routing, batch)``."""

    @cache
    def get(
        precision: str = "fp32",
        form: str = "routed",
        target: str = "cpu",
        *,
        routing: bool = True,
        max_length: int | None = None,
        batch: bool = False,
    ) -> tuple[Path, Manifest]:
        folder, recipe = tmp_path_factory.mktemp("bundle"), Recipe(precision, block_size=32)
        given = checkpoint(routing)
        return folder, export_tiny(given, folder, recipe, target=target, form=form, max_length=max_length, batch=batch)

    return get
