"""The library of native operators, built from the sources once per run, and the instruction sets that this processor has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import shared
from tests.native.libraries import NAMES, built, known


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As anyone builds it."""
    return built(shared(tmp_path_factory) / "native")


@pytest.fixture(params=NAMES)
def instructions(request: pytest.FixtureRequest, library: Path) -> str:
    """Each instruction set of this kind of machine that this processor has."""
    name: str = request.param
    if name not in known(library):
        pytest.skip(f"this processor has no {name}")
    return name
